LANGUAGES = ("Python",)
"""The programming languages of an arena whose code can be run."""
