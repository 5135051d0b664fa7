"""The report of one evaluation: a page and a picture of what decided, who judged, and who labelled."""
