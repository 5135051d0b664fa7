"""What commands print: the terminal itself, tables, the live board."""
