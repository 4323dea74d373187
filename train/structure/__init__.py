"""What the structure of mathematics gives a model: places of tokens in expressions, graphs of solutions, changed steps."""
