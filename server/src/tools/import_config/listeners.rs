//! go-carbon's receivers and its cache query: `listen` and `enabled` become interface and port.
//! An address without a host is every address, which is 0.0.0.0 here.
//! Of several receivers of one kind the first that is on is translated; the others are said.

use toml::Value;

use super::defaults::{self, Section};
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
pub(super) fn translate(name: &str, section: Section<'_>, translation: &mut Translation) -> bool {
    let listener = match name {
        "tcp" => TCP,
        "udp" => UDP,
        "pickle" => PICKLE,
        "carbonlink" => QUERY,
        "receiver" => {
            for (name, receiver) in section.written {
                if receiver.is_table() {
                    additional(name, receiver, translation);
                }
            }
            return true;
        }
        _ => return false,
    };
    address(name, section, &listener, translation);
    for (key, value, is_written) in section.entries() {
        translation.is_left_out = !is_written;
        setting(name, key, value, translation);
    }
    translation.is_left_out = false;
    true
}

/// What a listener has beside its address.
fn setting(section: &str, key: &str, value: &Value, translation: &mut Translation) {
    let from = format!("[{section}] {key} = {}", said(value));
    match (section, key) {
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

/// Interface and port of a section.
fn address(name: &str, section: Section<'_>, listener: &Listener, translation: &mut Translation) {
    let is_on = section.is_on(true);
    translation.is_left_out = !section.written.contains_key("enabled");
    let from = format!("[{name}] enabled = {is_on}");
    match listener.switch {
        Some(switch) => translation.set(&from, switch, if is_on { "True" } else { "False" }),
        None if !is_on => translation.set(&from, listener.port, "0"),
        None => {}
    }
    if let Some((listen, is_written)) = section.get("listen").filter(|_| is_on) {
        translation.is_left_out = !is_written;
        translation.taken.push(listener.port);
        let from = format!("[{name}] listen = {}", said(listen));
        match listen.as_str().and_then(|listen| listen.rsplit_once(':')) {
            Some((host, port)) => {
                let host = host.trim_start_matches('[').trim_end_matches(']');
                let host = if host.is_empty() { "0.0.0.0" } else { host };
                translation.set(&from, listener.interface, host);
                translation.set(&from, listener.port, port);
            }
            None => translation.look(&from, "that is no address with a port"),
        }
    }
    translation.is_left_out = false;
}

/// `[receiver.NAME]`, which go-carbon assumes to be as the main one of its protocol.
fn additional(name: &str, receiver: &Value, translation: &mut Translation) {
    let name = format!("receiver.{name}");
    let protocol = receiver.get("protocol").and_then(Value::as_str);
    let (listener, main) = match protocol {
        Some("tcp") => (TCP, "tcp"),
        Some("udp") => (UDP, "udp"),
        Some("pickle") => (PICKLE, "pickle"),
        Some("protobuf") => (PROTOBUF, "pickle"),
        Some(protocol) => {
            let from = format!("[{name}] protocol = \"{protocol}\"");
            let reason =
                "there is no such receiver; carbon-relay-ng or carbon-c-relay may take it over";
            translation.look(&from, reason);
            return;
        }
        None => {
            translation.look(&format!("[{name}]"), "it names no protocol");
            return;
        }
    };
    let all = defaults::table();
    let tables = receiver
        .as_table()
        .zip(all.get(main).and_then(Value::as_table));
    let Some((written, assumed)) = tables else {
        unreachable!("{name} is a table, and so is [{main}]")
    };
    let section = Section { written, assumed };
    if !section.is_on(true) {
        translation.without(&format!("[{name}]"), "it is not enabled");
    } else if translation.taken.contains(&listener.port) {
        if let Some((listen, is_written)) = section.get("listen") {
            translation.is_left_out = !is_written;
            translation.look(&format!("[{name}] listen = {}", said(listen)), MANY);
            translation.is_left_out = false;
        }
    } else {
        address(&name, section, &listener, translation);
    }
}
