"""What people are asked about answers, and what they said."""
