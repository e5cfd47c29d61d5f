"""Measurements of networks: complexity by arithmetic, redundancy of filters."""
