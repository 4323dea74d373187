"""Who may come in: API keys, what each may take, and under which names and from which web pages the server is called."""
