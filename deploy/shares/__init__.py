"""Users divided among several databases: nginx's part, and the command that moves a user."""
