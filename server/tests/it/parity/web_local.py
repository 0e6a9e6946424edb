"""What an operator's local_settings.py would say. WEB_ROOT and CARBONLINK_HOSTS are in the environment."""

import os

WEB_ROOT = os.environ["WEB_ROOT"]
SECRET_KEY = "tests only"
ALLOWED_HOSTS = ["*"]
STORAGE_DIR = WEB_ROOT
WHISPER_DIR = os.environ["WHISPER_DIR"]
STANDARD_DIRS = [WHISPER_DIR]
LOG_DIR = WEB_ROOT
CARBONLINK_HOSTS = [host for host in os.environ["CARBONLINK_HOSTS"].split(",") if host]
CARBONLINK_TIMEOUT = 20
TIME_ZONE = "UTC"
DEFAULT_CACHE_DURATION = 0
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": WEB_ROOT + "/graphite.db"}}
