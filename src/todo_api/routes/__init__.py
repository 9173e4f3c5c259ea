"""The endpoints: each module speaks HTTP for one noun."""
