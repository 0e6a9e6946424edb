"""graphite-web's own settings, on the directory, cache and database that the environment names."""

import os

os.environ["GRAPHITE_SETTINGS_MODULE"] = "web_local"

from graphite.settings import *  # noqa: E402,F401,F403
