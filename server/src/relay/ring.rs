//! Consistent hashing as Python carbon does it: which of a relay's destinations a metric goes to.
//! Pure, and exact to the collision: carbon-relay, carbon-cache and graphite-web have to come to the
//! same node, or points are looked for where they are not.
//! A node is a server and its instance. It stands on the ring a hundred times; where a place is
//! taken, it takes the next one, so that the order in which nodes are added counts.

use hashbrown::HashSet;
use md5::{Digest as _, Md5};

/// How often a node stands on the ring.
const REPLICAS: usize = 100;

/// ROUTER_HASH_TYPE: what places on the ring are made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum HashType {
    /// `carbon_ch`: the first 16 bits of the MD5.
    #[default]
    Carbon,
    /// `fnv1a_ch`: FNV-1a of 32 bits, folded to 16; of a node only its instance counts.
    Fnv1a,
    /// `mmh3_ch`: MurmurHash3 of 32 bits, signed.
    Mmh3,
}

impl HashType {
    /// By its name in carbon.conf.
    pub(crate) fn from_name(name: &str) -> Option<HashType> {
        match name {
            "carbon_ch" => Some(HashType::Carbon),
            "fnv1a_ch" => Some(HashType::Fnv1a),
            "mmh3_ch" => Some(HashType::Mmh3),
            _ => None,
        }
    }

    /// The place of a key.
    fn position(self, key: &str) -> i64 {
        match self {
            HashType::Carbon => {
                let digest = Md5::digest(key.as_bytes());
                i64::from(digest[0]) << 8 | i64::from(digest[1])
            }
            HashType::Fnv1a => {
                let hash = fnv1a(key.as_bytes());
                i64::from((hash >> 16) ^ (hash & 0xffff))
            }
            HashType::Mmh3 => i64::from(mmh3(key.as_bytes()).cast_signed()),
        }
    }
}

/// What stands on the ring.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Node {
    /// The server, as it is written.
    pub(crate) server: String,
    /// Its instance.
    pub(crate) instance: Option<String>,
}

impl Node {
    /// The text whose hash is the node's `replica`th place: Python's own form of its tuple.
    fn replica_key(&self, hash: HashType, replica: usize) -> String {
        let (server, instance) = (&self.server, self.instance.as_deref());
        match (hash, instance) {
            (HashType::Fnv1a, instance) => format!("{replica}-{}", instance.unwrap_or("None")),
            (_, Some(instance)) => format!("('{server}', '{instance}'):{replica}"),
            (_, None) => format!("('{server}', None):{replica}"),
        }
    }
}

/// A ring of nodes, which go by their number.
#[derive(Clone, Debug)]
pub(crate) struct Ring {
    hash: HashType,
    nodes: usize,
    /// Places in rising order, each once.
    places: Vec<(i64, usize)>,
}

impl Ring {
    /// A ring of these nodes, added in this order.
    pub(crate) fn new(nodes: &[Node], hash: HashType) -> Ring {
        let mut ring = Ring {
            hash,
            nodes: nodes.len(),
            places: Vec::with_capacity(nodes.len() * REPLICAS),
        };
        for (number, node) in nodes.iter().enumerate() {
            for replica in 0..REPLICAS {
                let mut position = hash.position(&node.replica_key(hash, replica));
                let at = loop {
                    match ring.places.binary_search_by_key(&position, |place| place.0) {
                        Ok(_) => position += 1,
                        Err(at) => break at,
                    }
                };
                ring.places.insert(at, (position, number));
            }
        }
        ring
    }

    /// The numbers of the nodes in the order in which a key comes to them, each once. Python never
    /// looks at the last place of its walk, and neither does this.
    pub(crate) fn nodes(&self, key: &str) -> impl Iterator<Item = usize> {
        let position = self.hash.position(key);
        let count = self.places.len();
        let first = self.places.partition_point(|place| place.0 < position);
        let walk = (0..count.saturating_sub(1)).map(move |step| (first + step) % count);
        let mut seen = HashSet::new();
        walk.map(|at| self.places[at].1)
            .filter(move |node| seen.insert(*node))
            .take(self.nodes)
    }
}

fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

/// MurmurHash3 x86 of 32 bits with seed 0.
fn mmh3(bytes: &[u8]) -> u32 {
    let scrambled = |word: u32| {
        let word = word.wrapping_mul(0xcc9e_2d51).rotate_left(15);
        word.wrapping_mul(0x1b87_3593)
    };
    let (words, tail) = bytes.as_chunks::<4>();
    let mut hash = words.iter().fold(0_u32, |hash, word| {
        let hash = hash ^ scrambled(u32::from_le_bytes(*word));
        hash.rotate_left(13)
            .wrapping_mul(5)
            .wrapping_add(0xe654_6b64)
    });
    let mut last = [0; 4];
    last[..tail.len()].copy_from_slice(tail);
    hash ^= scrambled(u32::from_le_bytes(last));
    // Python's module takes the length in 32 bits as well.
    hash ^= u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(server: &str, instance: Option<&str>) -> Node {
        Node {
            server: server.to_owned(),
            instance: instance.map(str::to_owned),
        }
    }

    fn local(instances: &[&str]) -> Vec<Node> {
        let nodes = instances.iter();
        nodes.map(|name| node("127.0.0.1", Some(name))).collect()
    }

    fn order(ring: &Ring, key: &str) -> Vec<usize> {
        ring.nodes(key).collect()
    }

    #[test]
    fn the_ring_is_pythons() {
        let ring = Ring::new(&local(&["a", "b", "c"]), HashType::Carbon);
        assert_eq!(ring.places[..4], [(330, 2), (398, 0), (474, 0), (784, 2)]);
        assert_eq!(ring.places.len(), 3 * REPLICAS);
        for (key, position, want) in [
            ("hosts.worker1.cpu", 64833, [2, 0, 1]),
            ("hosts.worker1.load", 64076, [0, 1, 2]),
            ("a.b.c", 21823, [0, 2, 1]),
        ] {
            assert_eq!(HashType::Carbon.position(key), position, "{key}");
            assert_eq!(order(&ring, key), want, "{key}");
        }
        let ring = Ring::new(&local(&["a", "b", "c"]), HashType::Fnv1a);
        for (key, position, want) in [
            ("hosts.worker1.cpu", 59573, [1, 0, 2]),
            ("hosts.worker1.load", 57163, [0, 1, 2]),
            ("a.b.c", 34049, [0, 1, 2]),
        ] {
            assert_eq!(HashType::Fnv1a.position(key), position, "{key}");
            assert_eq!(order(&ring, key), want, "{key}");
        }
    }

    #[test]
    fn instances_of_other_servers_are_found_by_fnv1a() {
        let nodes = [
            node("127.0.0.1", Some("ba603c36342304ed77953f84ac4d357b")),
            node("127.0.0.2", Some("5dd63865534f84899c6e5594dba6749a")),
            node("127.0.0.3", Some("866a18b81f2dc4649517a1df13e26f28")),
        ];
        let ring = Ring::new(&nodes, HashType::Fnv1a);
        assert_eq!(order(&ring, "hosts.worker1.cpu")[0], 0);
        assert_eq!(order(&ring, "hosts.worker2.cpu")[0], 2);
    }

    #[test]
    fn nodes_of_several_servers_are_found_as_by_carbonate() {
        let servers = ["9.13", "9.15", "6.20", "6.19", "6.16"];
        let nodes: Vec<Node> = servers
            .iter()
            .map(|end| node(&format!("192.168.{end}"), Some("0")))
            .collect();
        let ring = Ring::new(&nodes, HashType::Carbon);
        assert_eq!(order(&ring, "metric.one")[..2], [4, 3]);
    }

    #[test]
    fn murmur_is_as_published() {
        for (text, want) in [
            ("", 0),
            ("a", 0x3c25_69b2),
            ("abcd", 0x43ed_676a),
            ("Hello, world!", 0xc036_3e43),
            ("The quick brown fox jumps over the lazy dog", 0x2e4f_f723),
        ] {
            assert_eq!(mmh3(text.as_bytes()), want, "{text}");
        }
    }

    /// The order of nodes for 10,000 names, by carbon's own ring; mmh3_ch needs the module mmh3.
    const CARBON: &str = r#"
import sys
from carbon.hashing import ConsistentHashRing
nodes = [tuple(part or None for part in line.split(" ")) for line in sys.argv[2].split(",")]
ring = ConsistentHashRing(nodes, hash_type=sys.argv[1])
for name in open(sys.argv[3], encoding="utf-8"):
    print(*(nodes.index(node) for node in ring.get_nodes(name.rstrip("\n"))))
"#;

    #[test]
    fn ten_thousand_names_go_where_carbon_s_own_ring_sends_them() {
        let names: Vec<String> = (0..10_000_u32)
            .map(|number| match number % 4 {
                0 => format!("site.host{}.metric{number}", number % 97),
                1 => format!("disk.used;host=web{number};rack=r{}", number % 7),
                2 => format!("\u{6771}\u{4eac}.\u{e9}t\u{e9}{number}"),
                _ => "n".repeat(usize::try_from(number % 41).unwrap() + 1) + &number.to_string(),
            })
            .collect();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), names.join("\n")).unwrap();
        let mixed: Vec<Node> = (0..20)
            .map(|number| {
                let instance = (number % 3 > 0).then(|| format!("i{number}"));
                node(&format!("10.0.0.{number}"), instance.as_deref())
            })
            .collect();
        for (word, hash) in [
            ("carbon_ch", HashType::Carbon),
            ("fnv1a_ch", HashType::Fnv1a),
            ("mmh3_ch", HashType::Mmh3),
        ] {
            for nodes in [local(&["a", "b", "c"]), mixed.clone()] {
                let shown: Vec<String> = nodes
                    .iter()
                    .map(|it| format!("{} {}", it.server, it.instance.as_deref().unwrap_or("")))
                    .collect();
                let output = std::process::Command::new(benzene_fixtures::python().unwrap())
                    .args(["-c", CARBON, word, &shown.join(",")])
                    .arg(file.path())
                    .output()
                    .unwrap();
                assert!(output.status.success(), "{output:?}");
                let carbon = String::from_utf8(output.stdout).unwrap();
                assert_eq!(carbon.lines().count(), names.len());
                let ring = Ring::new(&nodes, hash);
                for (name, line) in names.iter().zip(carbon.lines()) {
                    let ours: Vec<String> = ring.nodes(name).map(|it| it.to_string()).collect();
                    assert_eq!(ours.join(" "), line, "{word}: {name}");
                }
            }
        }
    }

    #[test]
    fn every_node_is_reached_and_one_alone_too() {
        for count in [1, 2, 5, 20] {
            let names: Vec<String> = (0..count).map(|number| format!("n{number}")).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let ring = Ring::new(&local(&names), HashType::Carbon);
            assert_eq!(order(&ring, "any.metric").len(), count);
        }
    }
}
