"""The ground floor of Truemark: errors, files, artifacts, model references, runtimes, the sandbox and the CLI table.

It imports nothing heavy at the top of a module and nothing from the rooms above it.
"""

__version__ = "0.1.0"
