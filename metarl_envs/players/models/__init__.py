"""Language models as players: a chat client, what a conversation keeps, its transcript, and its budget."""
