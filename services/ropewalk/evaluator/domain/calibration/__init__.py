"""What a judge's scores are worth: brought to the human scale by few labels, with an interval that knows both.

Labels are a probability sample that the service draws; whatever was picked by hand serves rubrics, not figures.
"""
