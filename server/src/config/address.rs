//! Where the receivers and the cache query listen: interface and port become a socket address.
//! An interface is a host name or an address, as in Python carbon; names are resolved here, once,
//! by the system's resolver, and IPv4 goes before IPv6 as Python listens. No socket is opened.
//! A name that nobody knows refuses the start and names its option.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};

use super::error::ConfigError;
use super::low::Low;
use super::value::Fault;
use crate::cli::{CacheOptions, Listen};

/// The options that say where one listener listens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listener {
    /// What it is, for the operator.
    pub(super) noun: &'static str,
    pub(super) interface: &'static str,
    pub(super) port: &'static str,
    /// A switch that has to be on, too.
    enable: Option<&'static str>,
    flag: &'static str,
}

pub(super) const LINE: Listener = Listener {
    noun: "line receiver (TCP)",
    interface: "LINE_RECEIVER_INTERFACE",
    port: "LINE_RECEIVER_PORT",
    enable: None,
    flag: "--line",
};
pub(super) const UDP: Listener = Listener {
    noun: "line receiver (UDP)",
    interface: "UDP_RECEIVER_INTERFACE",
    port: "UDP_RECEIVER_PORT",
    enable: Some("ENABLE_UDP_LISTENER"),
    flag: "--udp",
};
pub(super) const PICKLE: Listener = Listener {
    noun: "pickle receiver",
    interface: "PICKLE_RECEIVER_INTERFACE",
    port: "PICKLE_RECEIVER_PORT",
    enable: None,
    flag: "--pickle",
};
pub(super) const PROTOBUF: Listener = Listener {
    noun: "protobuf receiver",
    interface: "PROTOBUF_RECEIVER_INTERFACE",
    port: "PROTOBUF_RECEIVER_PORT",
    enable: None,
    flag: "--protobuf",
};
pub(super) const QUERY: Listener = Listener {
    noun: "cache query",
    interface: "CACHE_QUERY_INTERFACE",
    port: "CACHE_QUERY_PORT",
    enable: None,
    flag: "--query",
};

/// Where everything listens; None is off.
#[derive(Debug)]
pub(super) struct Addresses {
    pub(super) line: Option<SocketAddr>,
    pub(super) udp: Option<SocketAddr>,
    pub(super) pickle: Option<SocketAddr>,
    pub(super) protobuf: Option<SocketAddr>,
    pub(super) query: Option<SocketAddr>,
}

impl Addresses {
    /// Resolves all of them and checks that no two TCP listeners collide.
    pub(super) fn settle(low: &Low, options: &CacheOptions) -> Result<Addresses, ConfigError> {
        let addresses = Addresses {
            line: LINE.settle(low, options.line.as_ref())?,
            udp: UDP.settle(low, options.udp.as_ref())?,
            pickle: PICKLE.settle(low, options.pickle.as_ref())?,
            protobuf: PROTOBUF.settle(low, options.protobuf.as_ref())?,
            query: QUERY.settle(low, options.query.as_ref())?,
        };
        let tcp = [
            (LINE, addresses.line),
            (PICKLE, addresses.pickle),
            (PROTOBUF, addresses.protobuf),
            (QUERY, addresses.query),
        ];
        for (index, first) in tcp.iter().enumerate() {
            for second in &tcp[index + 1..] {
                refuse_same_port(*first, *second)?;
            }
        }
        Ok(addresses)
    }
}

impl Listener {
    fn settle(self, low: &Low, flag: Option<&Listen>) -> Result<Option<SocketAddr>, ConfigError> {
        match flag {
            Some(Listen::Off) => Ok(None),
            Some(Listen::At {
                host: Some(host),
                port,
            }) => {
                let resolved = resolve(host, *port).map_err(|fault| ConfigError::Flag {
                    flag: self.flag,
                    written: host.clone(),
                    fault,
                });
                resolved.map(Some)
            }
            Some(Listen::At { host: None, port }) => self.on_interface(low, *port).map(Some),
            None => {
                let port = self.port(low);
                let enabled = self.enable.is_none_or(|switch| low.switch(switch));
                if port == 0 || !enabled {
                    return Ok(None);
                }
                self.on_interface(low, port).map(Some)
            }
        }
    }

    fn port(self, low: &Low) -> u16 {
        let port = low
            .integer(self.port)
            .and_then(|port| u16::try_from(port).ok());
        let Some(port) = port else {
            unreachable!("{} is bounded to 16 bits", self.port)
        };
        port
    }

    fn on_interface(self, low: &Low, port: u16) -> Result<SocketAddr, ConfigError> {
        let host = low.text(self.interface).unwrap_or_default();
        resolve(&host, port).map_err(|fault| low.refuse(self.interface, fault))
    }
}

/// The address of an interface; nothing is every IPv4 one, as for Python.
fn resolve(host: &str, port: u16) -> Result<SocketAddr, Fault> {
    let bare = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(host);
    if bare.is_empty() {
        return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port));
    }
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, port));
    }
    let found: Vec<SocketAddr> = (bare, port)
        .to_socket_addrs()
        .map_err(|error| Fault::UnknownHost {
            problem: error.to_string(),
        })?
        .collect();
    let ipv4_first = found
        .iter()
        .find(|address| address.is_ipv4())
        .or(found.first());
    ipv4_first.copied().ok_or_else(|| Fault::UnknownHost {
        problem: "no address".to_owned(),
    })
}

type Settled = (Listener, Option<SocketAddr>);

/// Python shares such a port by SO_REUSEPORT and gives half of the lines to the wrong receiver.
fn refuse_same_port(one: Settled, other: Settled) -> Result<(), ConfigError> {
    let ((first, Some(a)), (second, Some(b))) = (one, other) else {
        return Ok(());
    };
    let same_host = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    if a.port() == 0 || a.port() != b.port() || !same_host {
        return Ok(());
    }
    Err(ConfigError::SamePort {
        first: first.port,
        second: second.port,
        address: b,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_become_addresses() {
        for (host, want) in [
            ("0.0.0.0", "0.0.0.0:2003"),
            ("", "0.0.0.0:2003"),
            ("::1", "[::1]:2003"),
            ("[::]", "[::]:2003"),
            ("localhost", "127.0.0.1:2003"),
        ] {
            assert_eq!(resolve(host, 2003), Ok(want.parse().unwrap()), "{host}");
        }
        let fault = resolve("no such host", 1).unwrap_err();
        assert!(matches!(fault, Fault::UnknownHost { .. }), "{fault:?}");
    }

    #[test]
    fn tcp_listeners_do_not_share_a_port() {
        let at = |text: &str| text.parse::<SocketAddr>().ok();
        for (one, other, shared) in [
            ("127.0.0.1:2003", "127.0.0.1:2003", true),
            ("0.0.0.0:2003", "127.0.0.1:2003", true),
            ("127.0.0.1:2003", "127.0.0.2:2003", false),
            ("127.0.0.1:2003", "127.0.0.1:2004", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
            ("off", "127.0.0.1:2004", false),
        ] {
            let found = refuse_same_port((LINE, at(one)), (QUERY, at(other)));
            assert_eq!(found.is_err(), shared, "{one} {other}");
        }
    }
}
