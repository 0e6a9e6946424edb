//! What go-carbon assumes where its configuration says nothing. It reads a file over these, so that a
//! file which leaves a setting or a whole section out still asks for them: without [udp] it receives on
//! UDP port 2003. They are not what its example file has (there `flock` is true and `max-cpu` 4).
//! Only settings that mean something here stand in the list.

use toml::{Table, Value};

/// In its own words.
const TEXT: &str = r#"
[common]
user = "carbon"
graph-prefix = "carbon.agents.{host}"
metric-interval = "1m0s"
max-cpu = 1
[whisper]
data-dir = "/var/lib/graphite/whisper/"
schemas-file = "/etc/go-carbon/storage-schemas.conf"
aggregation-file = ""
max-updates-per-second = 0
max-creates-per-second = 0
sparse-create = false
flock = false
hash-filenames = true
[cache]
max-size = 1000000
write-strategy = "max"
[udp]
listen = ":2003"
enabled = true
[tcp]
listen = ":2003"
enabled = true
[pickle]
listen = ":2004"
enabled = true
max-message-size = 67108864
[carbonlink]
listen = "127.0.0.1:7002"
enabled = true
[grpc]
enabled = true
[tags]
enabled = false
tagdb-url = "http://127.0.0.1:8000"
tagdb-chunk-size = 32
tagdb-update-interval = 100
"#;

/// The defaults of all sections.
pub(super) fn table() -> Table {
    match toml::from_str(TEXT) {
        Ok(table) => table,
        Err(error) => unreachable!("the text above is TOML: {error}"),
    }
}

/// A section as it is written and as go-carbon assumes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Section<'a> {
    pub(super) written: &'a Table,
    pub(super) assumed: &'a Table,
}

impl<'a> Section<'a> {
    /// The value that go-carbon takes, and whether the file has it.
    pub(super) fn get(self, key: &str) -> Option<(&'a Value, bool)> {
        let written = self.written.get(key).map(|value| (value, true));
        written.or_else(|| self.assumed.get(key).map(|value| (value, false)))
    }

    /// All that go-carbon takes, in the order of their names.
    pub(super) fn entries(self) -> impl Iterator<Item = (&'a str, &'a Value, bool)> {
        let written = self.written.keys();
        let left_out = self.assumed.keys();
        let left_out = left_out.filter(move |key| !self.written.contains_key(*key));
        let mut keys: Vec<&String> = written.chain(left_out).collect();
        keys.sort();
        keys.into_iter().filter_map(move |key| {
            let (value, is_written) = self.get(key)?;
            Some((key.as_str(), value, is_written))
        })
    }

    /// Whether it is switched on; `usually` where go-carbon's own word is not listed.
    pub(super) fn is_on(self, usually: bool) -> bool {
        let found = self.get("enabled").and_then(|(value, _)| value.as_bool());
        found.unwrap_or(usually)
    }
}
