"""Do those who grade agree? Coefficients, raters' habits, consensus, and whether a judge may stand in for a rater.

Ratings are a table with one row per rater and one column per item, None or NaN where a rater said nothing.
"""
