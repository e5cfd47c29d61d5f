"""One frozen entry per thing that the project knows. Imports neither torch nor any other module of the project.

Configuration, command line, labels, pages, the workflow, code hashes and the tables of the documentation read these
entries. Adding a thing is its file and one entry here.
"""
