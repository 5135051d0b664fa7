"""Formulas that services and reports share: how sure a number is, how far raters agree. Arrays in, numbers out."""
