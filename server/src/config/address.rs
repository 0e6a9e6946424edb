//! Where the receivers and the cache query listen: interfaces and ports become addresses, and sockets
//! become paths.
//! An interface is a list of host names or addresses; names are resolved here, once, by the system's
//! resolver, and IPv4 goes before IPv6 as Python listens. No socket is opened.
//! A name that nobody knows, and two listeners that want one address for different things, refuse the
//! start with their options and lines. Receivers of several instances may share a port, as they do by
//! SO_REUSEPORT in Python carbon: it is opened once, for all of them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use benzene_engine::limits::{INTERFACES_MAX, SOCKET_PATH_BYTES_MAX};

use super::error::{Asker, ConfigError, Place};
use super::instances::Instances;
use super::low::Low;
use super::value::Fault;
use crate::cli::{CacheOptions, Listen};

/// What a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Line protocol over TCP.
    Line,
    /// Line protocol over UDP: one bound socket, no connections.
    Datagram,
    /// Pickled batches over TCP.
    Pickle,
    /// Batches in protobuf over TCP.
    Protobuf,
    /// Cache queries over TCP.
    Query,
}

impl Service {
    /// All that can be listened for.
    pub const ALL: [Service; 5] = [
        Service::Line,
        Service::Datagram,
        Service::Pickle,
        Service::Protobuf,
        Service::Query,
    ];

    /// What it is, for the operator.
    pub fn noun(self) -> &'static str {
        self.listener().noun
    }

    /// The option that says at which port it listens.
    pub fn port_option(self) -> &'static str {
        self.listener().port
    }

    fn listener(self) -> &'static Listener {
        let found = LISTENERS.iter().find(|listener| listener.service == self);
        let Some(listener) = found else {
            unreachable!("{self:?} has a row")
        };
        listener
    }
}

/// Where something listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum At {
    /// At an address; port 0, from a flag only, lets the kernel choose.
    Inet(SocketAddr),
    /// At a path.
    Unix(PathBuf),
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            At::Inet(address) => write!(f, "{address}"),
            At::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// One socket that is listened on.
#[derive(Clone, Debug)]
pub struct Door {
    /// What it is for.
    pub service: Service,
    /// Whose it is: a place in `Settings::instances`.
    pub instance: usize,
    /// Where it is.
    pub at: At,
    /// An IPv6 address that leaves its port of IPv4 to another.
    pub is_only_v6: bool,
    /// The option that places it.
    pub key: &'static str,
    /// Where that is written; none is its default, or a flag.
    pub place: Option<Place>,
    /// It is open to every host because nobody said otherwise.
    pub is_open_by_default: bool,
    /// Which section of another program asks for the port too: where another process has it, nobody
    /// listens here.
    pub rival: Option<String>,
}

/// The options that say where one listener listens.
#[derive(Clone, Copy, Debug)]
struct Listener {
    service: Service,
    noun: &'static str,
    interface: &'static str,
    port: &'static str,
    /// The option with the path of its Unix socket.
    socket: Option<&'static str>,
    /// A switch that has to be on, too.
    enable: Option<&'static str>,
    flag: &'static str,
    /// What its flag says.
    told: fn(&CacheOptions) -> Option<&Listen>,
}

const LISTENERS: [Listener; 5] = [
    Listener {
        service: Service::Line,
        noun: "line receiver (TCP)",
        interface: "LINE_RECEIVER_INTERFACE",
        port: "LINE_RECEIVER_PORT",
        socket: Some("LINE_RECEIVER_SOCKET"),
        enable: None,
        flag: "--line",
        told: |options| options.line.as_ref(),
    },
    Listener {
        service: Service::Datagram,
        noun: "line receiver (UDP)",
        interface: "UDP_RECEIVER_INTERFACE",
        port: "UDP_RECEIVER_PORT",
        socket: None,
        enable: Some("ENABLE_UDP_LISTENER"),
        flag: "--udp",
        told: |options| options.udp.as_ref(),
    },
    Listener {
        service: Service::Pickle,
        noun: "pickle receiver",
        interface: "PICKLE_RECEIVER_INTERFACE",
        port: "PICKLE_RECEIVER_PORT",
        socket: Some("PICKLE_RECEIVER_SOCKET"),
        enable: None,
        flag: "--pickle",
        told: |options| options.pickle.as_ref(),
    },
    Listener {
        service: Service::Protobuf,
        noun: "protobuf receiver",
        interface: "PROTOBUF_RECEIVER_INTERFACE",
        port: "PROTOBUF_RECEIVER_PORT",
        socket: None,
        enable: None,
        flag: "--protobuf",
        told: |options| options.protobuf.as_ref(),
    },
    Listener {
        service: Service::Query,
        noun: "cache query",
        interface: "CACHE_QUERY_INTERFACE",
        port: "CACHE_QUERY_PORT",
        socket: Some("CACHE_QUERY_SOCKET"),
        enable: None,
        flag: "--query",
        told: |options| options.query.as_ref(),
    },
];

/// Everything that is listened on, and what is to be said of it.
#[derive(Debug, Default)]
pub(super) struct Doors {
    pub(super) all: Vec<Door>,
    pub(super) said: Vec<String>,
    pub(super) warnings: Vec<String>,
}

impl Doors {
    /// Resolves all of them, those of an instance that nobody named last: they give way to others.
    pub(super) fn settle(
        instances: &Instances,
        options: &CacheOptions,
    ) -> Result<Doors, ConfigError> {
        let mut doors = Doors::default();
        let named = |wanted: bool| {
            let all = instances.all.iter().enumerate();
            all.filter(move |(_, it)| it.is_implied != wanted)
        };
        for (index, instance) in named(true).chain(named(false)) {
            for listener in &LISTENERS {
                for door in listener.doors(index, &instance.low, options)? {
                    doors.add(door, instances)?;
                }
            }
        }
        doors.all.sort_by_key(|door| door.instance);
        let v4: Vec<Door> = doors
            .all
            .iter()
            .filter(|door| matches!(door.at, At::Inet(SocketAddr::V4(_))))
            .cloned()
            .collect();
        for door in &mut doors.all {
            let is_v6 = matches!(door.at, At::Inet(SocketAddr::V6(_)));
            door.is_only_v6 = is_v6 && v4.iter().any(|other| other.has_port_of(door));
        }
        Ok(doors)
    }

    /// Whether the instance that nobody named leaves a port to a relay or an aggregator of the file.
    fn gives_way(&mut self, door: &mut Door, instances: &Instances) -> bool {
        let told = &instances.all[door.instance];
        let taken = instances.taken.iter().find(|taken| {
            told.is_implied && door.port() == Some(taken.port) && taken.is_udp == door.is_udp()
        });
        let Some(taken) = taken else { return false };
        let (name, noun) = (&told.name, door.service.noun());
        let (port, rival) = (
            taken.port,
            format!("[{}] (line {})", taken.section, taken.line),
        );
        self.warnings.push(if taken.is_in_front {
            format!(
                "instance {name} does not listen for the {noun}: port {port} is that of {rival}, which \
                 sends to others; if {name} is meant, name it in INSTANCES, in [cache], and give one of \
                 the two another port"
            )
        } else {
            format!(
                "instance {name} listens for the {noun} at port {port}, which {rival} asks for too: only \
                 one of the two can run on this machine; if {name} is not meant, name the others in \
                 INSTANCES, in [cache]"
            )
        });
        door.rival = Some(rival);
        taken.is_in_front
    }

    fn add(&mut self, mut door: Door, instances: &Instances) -> Result<(), ConfigError> {
        if self.gives_way(&mut door, instances) {
            return Ok(());
        }
        let is_implied = instances.all[door.instance].is_implied;
        let Some(place) = self.all.iter().position(|other| other.clashes(&door)) else {
            self.all.push(door);
            return Ok(());
        };
        let other = &mut self.all[place];
        let name = |door: &Door| &instances.all[door.instance].name;
        let may_share = other.service == door.service
            && (door.service != Service::Query
                || matches!(door.at, At::Unix(_))
                || other.instance == door.instance);
        if may_share {
            // The wider of the two does for both.
            if door.is_any_host() {
                other.at = door.at.clone();
                other.is_open_by_default |= door.is_open_by_default;
            }
            if other.instance != door.instance {
                self.said.push(format!(
                    "instances {} and {} share the {} at {}: what comes there counts for {}",
                    name(other),
                    name(&door),
                    door.service.noun(),
                    other.at,
                    name(other),
                ));
            }
            let wide = other.clone();
            let is_covered = |it: &Door| it.service == wide.service && it.clashes(&wide);
            let mut index = 0;
            self.all.retain(|it| {
                index += 1;
                index - 1 == place || !is_covered(it)
            });
            return Ok(());
        }
        if is_implied {
            self.said.push(format!(
                "instance {} does not listen for the {}: {} is instance {}'s",
                name(&door),
                door.service.noun(),
                door.at,
                name(other)
            ));
            return Ok(());
        }
        let asker = |door: &Door| Asker {
            key: door.key,
            instance: (instances.all.len() > 1).then(|| name(door).clone()),
            place: door.place.clone(),
        };
        Err(ConfigError::SamePort {
            first: Box::new(asker(other)),
            second: Box::new(asker(&door)),
            at: door.at.to_string(),
        })
    }
}

impl Door {
    /// Its port, where it has one that was chosen.
    fn port(&self) -> Option<u16> {
        match &self.at {
            At::Inet(address) => Some(address.port()).filter(|port| *port != 0),
            At::Unix(_) => None,
        }
    }

    fn is_udp(&self) -> bool {
        self.service == Service::Datagram
    }

    fn has_port_of(&self, other: &Door) -> bool {
        self.is_udp() == other.is_udp() && self.port().is_some() && self.port() == other.port()
    }

    /// Listens on every address of its family.
    fn is_any_host(&self) -> bool {
        matches!(&self.at, At::Inet(address) if address.ip().is_unspecified())
    }

    /// Cannot be opened beside the other.
    fn clashes(&self, other: &Door) -> bool {
        match (&self.at, &other.at) {
            (At::Unix(one), At::Unix(another)) => one == another,
            (At::Inet(one), At::Inet(another)) => {
                let same_family = one.is_ipv4() == another.is_ipv4();
                let same_host = one.ip() == another.ip()
                    || same_family && (self.is_any_host() || other.is_any_host());
                self.has_port_of(other) && same_host
            }
            (At::Unix(_), At::Inet(_)) | (At::Inet(_), At::Unix(_)) => false,
        }
    }
}

impl Listener {
    /// The doors of an instance. A flag stands for those of all instances, and is the first one's.
    fn doors(
        &self,
        instance: usize,
        low: &Low,
        options: &CacheOptions,
    ) -> Result<Vec<Door>, ConfigError> {
        let mut doors = Vec::new();
        let told = (self.told)(options);
        match told {
            Some(Listen::Off) => {}
            Some(Listen::At { .. }) if instance > 0 => {}
            Some(Listen::At {
                host: Some(host),
                port,
            }) => {
                let address = resolve(host, *port).map_err(|fault| ConfigError::Flag {
                    flag: self.flag,
                    written: host.clone(),
                    fault,
                })?;
                doors.push(self.door(instance, low, address, false));
            }
            Some(Listen::At { host: None, port }) => {
                doors = self.on_interfaces(instance, low, *port)?;
            }
            None => {
                let port = self.port(low);
                let is_enabled = self.enable.is_none_or(|switch| low.switch(switch));
                if port != 0 && is_enabled {
                    doors = self.on_interfaces(instance, low, port)?;
                }
            }
        }
        if let Some(socket) = self.socket
            && let Some(path) = low.text(socket)
        {
            if path.len() > SOCKET_PATH_BYTES_MAX || !path.starts_with('/') {
                return Err(low.refuse(socket, Fault::NotSocketPath));
            }
            doors.push(Door {
                service: self.service,
                instance,
                at: At::Unix(PathBuf::from(path)),
                is_only_v6: false,
                key: socket,
                place: low.written(socket).map(|written| written.place.clone()),
                is_open_by_default: false,
                rival: None,
            });
        }
        Ok(doors)
    }

    fn port(&self, low: &Low) -> u16 {
        let port = low
            .integer(self.port)
            .and_then(|port| u16::try_from(port).ok());
        let Some(port) = port else {
            unreachable!("{} is bounded to 16 bits", self.port)
        };
        port
    }

    fn on_interfaces(
        &self,
        instance: usize,
        low: &Low,
        port: u16,
    ) -> Result<Vec<Door>, ConfigError> {
        let text = low.text(self.interface).unwrap_or_default();
        let mut hosts: Vec<&str> = text.split(',').map(str::trim).collect();
        if hosts.len() > 1 {
            hosts.retain(|host| !host.is_empty());
        }
        if hosts.len() > INTERFACES_MAX {
            let fault = Fault::TooLarge {
                max: INTERFACES_MAX.to_string(),
                why: "for each address is a socket of its own",
            };
            return Err(low.refuse(self.interface, fault));
        }
        let is_default = low.written(self.interface).is_none();
        let resolved = hosts.into_iter().map(|host| {
            let address = resolve(host, port).map_err(|fault| low.refuse(self.interface, fault))?;
            Ok(self.door(instance, low, address, is_default))
        });
        resolved.collect()
    }

    fn door(&self, instance: usize, low: &Low, address: SocketAddr, is_default: bool) -> Door {
        Door {
            service: self.service,
            instance,
            at: At::Inet(address),
            is_only_v6: false,
            key: self.port,
            place: low.written(self.port).map(|written| written.place.clone()),
            is_open_by_default: is_default && address.ip().is_unspecified(),
            rival: None,
        }
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

    fn door(service: Service, at: &str) -> Door {
        let at = match at.parse() {
            Ok(address) => At::Inet(address),
            Err(_) => At::Unix(PathBuf::from(at)),
        };
        Door {
            service,
            instance: 0,
            at,
            is_only_v6: false,
            key: service.port_option(),
            place: None,
            is_open_by_default: false,
            rival: None,
        }
    }

    #[test]
    fn what_cannot_be_listened_on_twice() {
        use Service::{Datagram, Line, Query};
        for ((one, a), (other, b), clash) in [
            ((Line, "127.0.0.1:2003"), (Query, "127.0.0.1:2003"), true),
            ((Line, "0.0.0.0:2003"), (Query, "127.0.0.1:2003"), true),
            ((Line, "127.0.0.1:2003"), (Query, "0.0.0.0:2003"), true),
            ((Line, "127.0.0.1:2003"), (Query, "127.0.0.2:2003"), false),
            ((Line, "127.0.0.1:2003"), (Query, "127.0.0.1:2004"), false),
            ((Line, "127.0.0.1:0"), (Query, "127.0.0.1:0"), false),
            (
                (Line, "127.0.0.1:2003"),
                (Datagram, "127.0.0.1:2003"),
                false,
            ),
            ((Line, "0.0.0.0:2003"), (Query, "[::]:2003"), false),
            ((Line, "[::]:2003"), (Query, "[::1]:2003"), true),
            ((Line, "/run/a"), (Query, "/run/a"), true),
            ((Line, "/run/a"), (Query, "/run/b"), false),
        ] {
            let found = door(one, a).clashes(&door(other, b));
            assert_eq!(found, clash, "{one:?} {a} {other:?} {b}");
        }
    }
}
