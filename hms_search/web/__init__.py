"""The web app of a trained model: upload recordings, see what it says and what it looked at; the same as JSON."""
