//! go-carbon's receivers and its cache query: `listen` and `enabled` become interface and port.
//! An address without a host is every address, which is 0.0.0.0 here.
//! Of several receivers of one kind the first is translated; the others are said.

use toml::{Table, Value};

use super::{Translation, said};

/// A listener there and its options here.
struct Listener {
    interface: &'static str,
    port: &'static str,
    /// UDP has a switch of its own; the others are off with port 0.
    switch: Option<&'static str>,
}

const TCP: Listener = Listener {
    interface: "LINE_RECEIVER_INTERFACE",
    port: "LINE_RECEIVER_PORT",
    switch: None,
};
const UDP: Listener = Listener {
    interface: "UDP_RECEIVER_INTERFACE",
    port: "UDP_RECEIVER_PORT",
    switch: Some("ENABLE_UDP_LISTENER"),
};
const PICKLE: Listener = Listener {
    interface: "PICKLE_RECEIVER_INTERFACE",
    port: "PICKLE_RECEIVER_PORT",
    switch: None,
};
const PROTOBUF: Listener = Listener {
    interface: "PROTOBUF_RECEIVER_INTERFACE",
    port: "PROTOBUF_RECEIVER_PORT",
    switch: None,
};
const QUERY: Listener = Listener {
    interface: "CACHE_QUERY_INTERFACE",
    port: "CACHE_QUERY_PORT",
    switch: None,
};

const MANY: &str = "one receiver of this kind has a section here; further ports need a section \
                    [cache:NAME] each, or a redirection in the firewall";

/// Translates a section of a listener; false where it is none.
pub(super) fn translate(section: &str, settings: &Table, translation: &mut Translation) -> bool {
    let listener = match section {
        "tcp" => TCP,
        "udp" => UDP,
        "pickle" => PICKLE,
        "carbonlink" => QUERY,
        "receiver" => {
            for (name, receiver) in settings {
                if let Value::Table(receiver) = receiver {
                    additional(name, receiver, translation);
                }
            }
            return true;
        }
        _ => return false,
    };
    address(section, settings, &listener, translation);
    for (key, value) in settings {
        let from = format!("[{section}] {key} = {}", said(value));
        match (section, key.as_str()) {
            (_, "listen" | "enabled") => {}
            ("pickle", "max-message-size") => {
                translation.set(&from, "PICKLE_RECEIVER_MAX_LENGTH", &said(value));
            }
            (_, "buffer-size") => {
                let reason =
                    "what is received waits in one bounded cache, and senders wait when it is full";
                translation.without(&from, reason);
            }
            (_, "read-timeout") => {
                translation.without(&from, "cache queries may keep their connections");
            }
            ("udp", "log-incomplete") => {
                translation.without(
                    &from,
                    "lines that are cut off are counted: docs/operating/metrics.md",
                );
            }
            ("tcp", "compression") if value.as_str() == Some("") => {
                translation.without(&from, "it is off");
            }
            ("tcp", "compression") if value.as_str() == Some("gzip") => translation.without(
                &from,
                "the line receiver knows a stream packed with gzip by its first bytes",
            ),
            ("tcp", "compression") => translation.look(
                &from,
                "only streams packed with gzip are received; have the sender use that, or none",
            ),
            _ => translation.look(&from, "go-carbon's documentation has no such setting"),
        }
    }
    true
}

/// Interface and port of a section.
fn address(section: &str, settings: &Table, listener: &Listener, translation: &mut Translation) {
    let off = settings.get("enabled") == Some(&Value::Boolean(false));
    if let Some(switch) = listener.switch {
        let word = if off { "False" } else { "True" };
        translation.set(&format!("[{section}] enabled = {}", !off), switch, word);
    } else if off {
        let from = format!("[{section}] enabled = false");
        translation.set(&from, listener.port, "0");
        return;
    }
    let Some(listen) = settings.get("listen").and_then(Value::as_str) else {
        return;
    };
    let from = format!("[{section}] listen = \"{listen}\"");
    let Some((host, port)) = listen.rsplit_once(':') else {
        translation.look(&from, "that is no address with a port");
        return;
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let host = if host.is_empty() { "0.0.0.0" } else { host };
    translation.set(&from, listener.interface, host);
    translation.set("the same", listener.port, port);
}

/// `[receiver.NAME]`.
fn additional(name: &str, settings: &Table, translation: &mut Translation) {
    let section = format!("receiver.{name}");
    let protocol = settings.get("protocol").and_then(Value::as_str);
    let listener = match protocol {
        Some("tcp") => TCP,
        Some("udp") => UDP,
        Some("pickle") => PICKLE,
        Some("protobuf") => PROTOBUF,
        Some(protocol) => {
            let from = format!("[{section}] protocol = \"{protocol}\"");
            let reason =
                "there is no such receiver; carbon-relay-ng or carbon-c-relay may take it over";
            translation.look(&from, reason);
            return;
        }
        None => {
            translation.look(&format!("[{section}]"), "it names no protocol");
            return;
        }
    };
    let port = format!("\n{} = ", listener.port);
    if translation.lines.iter().any(|line| line.contains(&port)) {
        let listen = settings.get("listen").map(said).unwrap_or_default();
        translation.look(&format!("[{section}] listen = {listen}"), MANY);
        return;
    }
    address(&section, settings, &listener, translation);
}
