"""pytest fixtures for applications of regiment; pytest finds them by itself (`regiment_pytest.plugin`)."""
