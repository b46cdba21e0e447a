"""The web page: open a video, see its timeline, correct it, take it along. Needs the extra `web`."""
