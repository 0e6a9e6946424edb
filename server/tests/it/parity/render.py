"""graphite-web renders: its whole application, asked over its HTTP API through Django's test client.

Announces the tagged series to its TagDB as a carbon daemon would, and prints one JSON object: for each
query what /render answered. The queries come as JSON on standard input.
"""

import json
import os
import sys

os.environ["DJANGO_SETTINGS_MODULE"] = "web_settings"

import django  # noqa: E402

django.setup()

from django.core.management import call_command  # noqa: E402
from django.test import Client  # noqa: E402

asked = json.load(sys.stdin)
call_command("migrate", "--run-syncdb", verbosity=0)
client = Client()
answer = client.post("/tags/tagMultiSeries", {"path": asked["tagged"]})
assert answer.status_code == 200, answer.content
results = {}
for target, start, end in asked["queries"]:
    answer = client.get("/render", {"target": target, "from": start, "until": end, "format": "json", "noCache": "1"})
    assert answer.status_code == 200, (target, answer.content)
    results["%s|%s|%s" % (target, start, end)] = json.loads(answer.content)
json.dump(results, sys.stdout)
