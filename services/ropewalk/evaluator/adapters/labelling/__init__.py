"""What people label, the page on which they do, and who may."""
