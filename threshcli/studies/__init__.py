"""What is asked of data: questions answered in passes over tiles (`base` holds their contract)."""
