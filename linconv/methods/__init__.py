"""Other ways to exploit the redundancy of filters, one module a method; `linconv.config.methods` lists them."""
