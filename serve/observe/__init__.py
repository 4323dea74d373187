"""What the operator sees: metrics, log lines and traces of one request, without a word of its text unless asked."""
