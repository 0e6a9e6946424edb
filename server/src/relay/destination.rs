//! DESTINATIONS: where points are relayed to, and which of them a metric goes to.
//! `host:port[:instance]`, with brackets around an IPv6 address. Pure; names are resolved when a
//! connection is made.
//! Invariant, as in Python carbon: no two destinations of a ring have the same host and instance.

use hashbrown::HashSet;

use super::ring::{HashType, Node, Ring};

/// One of DESTINATIONS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Destination {
    /// Host and instance.
    pub(crate) node: Node,
    /// The port of its pickle receiver.
    pub(crate) port: u16,
}

/// Why DESTINATIONS cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DestinationError {
    /// One of them is not of the form.
    #[error("{0:?} is no host:port or host:port:instance")]
    Form(String),
    /// Two of them cannot be told apart.
    #[error("{0:?} stands there twice with the same instance, or with none")]
    Twice(String),
    /// There is none.
    #[error("there is none")]
    None,
}

impl Destination {
    fn parse(text: &str) -> Result<Destination, DestinationError> {
        let wrong = || DestinationError::Form(text.to_owned());
        let (server, rest) = match text.strip_prefix('[') {
            Some(inner) => inner.split_once("]:").ok_or_else(wrong)?,
            None => text.split_once(':').ok_or_else(wrong)?,
        };
        let (port, instance) = match rest.split_once(':') {
            Some((port, instance)) => (port, Some(instance)),
            None => (rest, None),
        };
        let port = port.parse().ok().filter(|port| *port > 0);
        let is_bad = server.is_empty()
            || server.contains('\'')
            || instance.is_some_and(|it| it.is_empty() || it.contains([':', '\'']));
        match port {
            Some(port) if !is_bad => Ok(Destination {
                node: Node {
                    server: server.to_owned(),
                    instance: instance.map(str::to_owned),
                },
                port,
            }),
            Some(_) | None => Err(wrong()),
        }
    }

    /// Reads DESTINATIONS, with commas between.
    pub(crate) fn parse_all(text: &str) -> Result<Vec<Destination>, DestinationError> {
        let parts = text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty());
        let all: Vec<Destination> = parts.map(Destination::parse).collect::<Result<_, _>>()?;
        let mut seen = HashSet::new();
        let twice = all.iter().find(|it| !seen.insert(&it.node));
        if let Some(twice) = twice {
            return Err(DestinationError::Twice(twice.node.server.clone()));
        }
        drop(seen);
        if all.is_empty() {
            return Err(DestinationError::None);
        }
        Ok(all)
    }
}

impl std::fmt::Display for Destination {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(to, "{}:{}", self.node.server, self.port)?;
        match &self.node.instance {
            Some(instance) => write!(to, ":{instance}"),
            None => Ok(()),
        }
    }
}

/// RELAY_METHOD, with what belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// `constant`: every destination gets everything.
    Constant,
    /// `consistent-hashing`.
    ConsistentHashing {
        /// ROUTER_HASH_TYPE.
        hash: HashType,
        /// REPLICATION_FACTOR.
        replicas: usize,
        /// DIVERSE_REPLICAS: no server gets a metric twice.
        diverse: bool,
    },
}

/// Says which destinations a metric goes to.
#[derive(Clone, Debug)]
pub(crate) struct Router {
    method: Method,
    /// By number of the destination.
    servers: Vec<String>,
    ring: Ring,
}

impl Router {
    pub(crate) fn new(destinations: &[Destination], method: Method) -> Router {
        let nodes: Vec<Node> = destinations.iter().map(|it| it.node.clone()).collect();
        let hash = match method {
            Method::Constant => HashType::default(),
            Method::ConsistentHashing { hash, .. } => hash,
        };
        Router {
            method,
            ring: Ring::new(&nodes, hash),
            servers: nodes.into_iter().map(|node| node.server).collect(),
        }
    }

    /// The numbers of the destinations of a metric.
    pub(crate) fn route(&self, metric: &str) -> Vec<usize> {
        let (replicas, diverse) = match self.method {
            Method::Constant => return (0..self.servers.len()).collect(),
            Method::ConsistentHashing {
                replicas, diverse, ..
            } => (replicas, diverse),
        };
        let mut used = HashSet::new();
        self.ring
            .nodes(metric)
            .filter(|node| !diverse || used.insert(&self.servers[*node]))
            .take(replicas)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_read_in_every_form_that_python_reads() {
        let all = Destination::parse_all("10.0.0.1:2004, h:2104:a,[fe80::1]:2204:b,, ").unwrap();
        let shown: Vec<String> = all.iter().map(Destination::to_string).collect();
        assert_eq!(shown, ["10.0.0.1:2004", "h:2104:a", "fe80::1:2204:b"]);
        for text in [
            "",
            " , ",
            "host",
            "host:",
            ":2004",
            "h:0",
            "h:70000",
            "h:1:",
            "[::1]2004",
        ] {
            assert!(Destination::parse_all(text).is_err(), "{text:?}");
        }
        let twice = Destination::parse_all("h:1:a,h:2:a").unwrap_err();
        assert_eq!(twice, DestinationError::Twice("h".to_owned()));
    }

    fn router(destinations: &str, replicas: usize, diverse: bool) -> Router {
        let method = Method::ConsistentHashing {
            hash: HashType::Carbon,
            replicas,
            diverse,
        };
        Router::new(&Destination::parse_all(destinations).unwrap(), method)
    }

    #[test]
    fn replicas_go_to_other_servers_unless_they_need_not() {
        let three = "127.0.0.1:1:a,127.0.0.1:2:b,127.0.0.1:3:c";
        assert_eq!(router(three, 1, true).route("hosts.worker1.cpu"), [2]);
        assert_eq!(router(three, 2, true).route("hosts.worker1.cpu"), [2]);
        assert_eq!(router(three, 2, false).route("hosts.worker1.cpu"), [2, 0]);
        assert_eq!(
            router(three, 9, false).route("hosts.worker1.cpu"),
            [2, 0, 1]
        );
        let five = "192.168.9.13:2124:0,192.168.9.15:2124:0,192.168.6.20:2124:0,\
                    192.168.6.19:2124:0,192.168.6.16:2124:0";
        assert_eq!(router(five, 2, true).route("metric.one"), [4, 3]);
    }

    #[test]
    fn constant_goes_everywhere() {
        let all = Destination::parse_all("a:1,b:1").unwrap();
        assert_eq!(Router::new(&all, Method::Constant).route("m"), [0, 1]);
    }
}
