//! Names against what Python carbon makes of them, and what must hold for any text at all.
//! The vectors come from running Python carbon and from go-carbon's own tests.
//! The properties: canonical names stay as they are, aliases agree, no path leaves its directory.

use std::collections::BTreeSet;
use std::path::Component;

use proptest::prelude::*;

use super::*;

fn canonical(raw: &str) -> Result<String, NameError> {
    let mut scratch = String::from("left over");
    Metric::parse(raw, &mut scratch).map(|metric| metric.as_str().to_owned())
}

fn file(raw: &str, leaf: TaggedLeaf) -> String {
    let mut scratch = String::new();
    let metric = Metric::parse(raw, &mut scratch).unwrap();
    metric.file_path(leaf).to_str().unwrap().to_owned()
}

#[test]
fn untagged_names_fold() {
    for (raw, name) in [
        ("a.b", "a.b"),
        ("a..b", "a.b"),
        (".a.b", "a.b"),
        ("a.b.", "a.b"),
        ("a/b", "a.b"),
        ("//a./.b//", "a.b"),
        (".lead..dd.", "lead.dd"),
        ("../../etc/passwd", "etc.passwd"),
        ("~~a.tilde", "a.tilde"),
        ("~a~b.~c", "a~b.~c"),
        (".~a", "a"),
        ("a b. c", "a b. c"),
        ("a-b_c:d%20{e}", "a-b_c:d%20{e}"),
        (
            "\u{43c}\u{435}\u{442}\u{440}.\u{6e29}\u{5ea6}",
            "\u{43c}\u{435}\u{442}\u{440}.\u{6e29}\u{5ea6}",
        ),
        ("_tag", "_tag"),
        ("a._tagged", "a._tagged"),
        ("_tagged_.a", "_tagged_.a"),
        ("a{b\"}", "a{b\"}"),
    ] {
        assert_eq!(canonical(raw).as_deref(), Ok(name), "{raw:?}");
    }
    assert_eq!(file("a/b.c", TaggedLeaf::Hashed), "a/b/c.wsp");
    assert_eq!(file("..x", TaggedLeaf::Readable), "x.wsp");
}

/// [X] vectors of Python carbon, and go-carbon's two.
#[test]
fn tags_are_normalised_as_python_does() {
    for (raw, name) in [
        ("m;b=2;a=1;a-b=3;b=4;name=zzz", "m;a-b=3;a=1;b=4"),
        ("om{b=\"x\",a=\"y\"}", "om;a=y;b=x"),
        ("bt;a", "bt;a"),
        ("some.metric;k=a;k=_;k2=3;k=0;k=42", "some.metric;k2=3;k=42"),
        (
            "some.metric;tag1=value2;tag2=value.2",
            "some.metric;tag1=value2;tag2=value.2",
        ),
        ("~a..b;x=/var/../y", "a..b;x=/var/../y"),
        ("~a;b", "~a;b"),
        ("~;a=b", "~;a=b"),
        ("a;b=", "a;b="),
        ("a;b=~c", "a;b=~c"),
        ("a;b!=c", "a;b!=c"),
        ("a;b=c=d", "a;b=c=d"),
        ("a..b;name=x", "a.b"),
        ("om{a=\"x\\\"\\\\\",}", "om{a=\"x\\\"\\\\\",}"),
        ("om{a=\"x\\\"\\\\\"}", "om;a=x\"\\"),
        ("om{a=\"x\":,b=\"y\"}", "om;a=x;b=y"),
        ("om{a=\"x;y\"}", "om{a=\"x;y\"}"),
        ("om{name=\"x\"}", "om"),
        (
            "\u{3b1};\u{3c9}=1;\u{3b2}=\u{20}2",
            "\u{3b1};\u{3b2}=\u{20}2;\u{3c9}=1",
        ),
    ] {
        assert_eq!(canonical(raw).as_deref(), Ok(name), "{raw:?}");
    }
}

/// Python would change these again on a second reading; ours come to rest at once.
#[test]
fn mixed_forms_come_to_rest() {
    for (raw, name) in [
        ("a;z=1{x=\"y\"}", "a;x=y;z=1"),
        ("a;c{x=\"y\"};b=z", "a;b=z;c;x=y"),
        ("foo{a=\"b\"}/", "foo;a=b"),
        ("foo;z=1{a=\"b\"}/;name=x", "foo;z=1{a=\"b\"}/"),
    ] {
        assert_eq!(canonical(raw).as_deref(), Ok(name), "{raw:?}");
        assert_eq!(canonical(name).as_deref(), Ok(name), "{raw:?}");
    }
}

#[test]
fn names_that_cannot_be_a_file_are_refused() {
    for raw in ["", ".", "..", "/", "~", "~~./~", "~;name=x{", ".;name=x"] {
        let found = canonical(raw);
        if raw.starts_with("~;") {
            assert_eq!(found.as_deref(), Ok(raw), "a bad tag keeps the name");
        } else {
            assert_eq!(found, Err(NameError::Empty), "{raw:?}");
        }
    }
    for (raw, found, offset) in [
        ("a\0b", '\0', 1),
        ("a.b\n", '\n', 3),
        ("\u{e9}\u{7f}", '\u{7f}', 2),
        ("a;b=\u{85}", '\u{85}', 4),
    ] {
        assert_eq!(
            canonical(raw),
            Err(NameError::ControlCharacter { found, offset })
        );
    }
    for raw in [
        "_tagged",
        "_tagged.a",
        "/_tagged/abc/def/x",
        "~_tagged..a",
        "_tagged.a;name=x",
    ] {
        assert_eq!(canonical(raw), Err(NameError::ReservedTagged), "{raw:?}");
    }
    assert!(canonical("_tagged.a;b=c").is_ok());
}

#[test]
fn components_and_names_are_bounded() {
    let too_long = |found, allowed| Err(NameError::ComponentTooLong { found, allowed });
    let part = |bytes| "x".repeat(bytes);
    assert_eq!(canonical(&part(251)), Ok(part(251)));
    assert_eq!(canonical(&part(252)), too_long(252, 251));
    assert_eq!(canonical(&(part(255) + ".a")), Ok(part(255) + ".a"));
    assert_eq!(canonical(&(part(256) + ".a")), too_long(256, 255));
    assert_eq!(
        canonical(&("a.".to_owned() + &part(256) + ".a")),
        too_long(256, 255)
    );
    assert_eq!(canonical(&"\u{e9}".repeat(126)), too_long(252, 251));
    let long = "abcdefghi.".repeat(306);
    assert_eq!(canonical(&long).map(|name| name.len()), Ok(3059));
    let (found, allowed) = (3061, METRIC_NAME_BYTES_MAX);
    assert_eq!(
        canonical(&(long + "x")),
        Err(NameError::TooLong { found, allowed })
    );
    let tagged = format!("{};a=b", part(2000));
    assert_eq!(
        file(&tagged, TaggedLeaf::Hashed),
        file(&tagged, TaggedLeaf::Readable)
    );
}

/// [X] vectors of both file names.
#[test]
fn tagged_files_are_python_s() {
    let hashed =
        "_tagged/eff/aae/effaae5b55950b150a7493d2f5430772ca2460bf7cccb4d9e523643df54c010f.wsp";
    assert_eq!(
        file("some.metric;tag2=value.2;tag1=value2", TaggedLeaf::Hashed),
        hashed
    );
    let raw = "stats.example.counts;tag1=value1";
    let hashed =
        "_tagged/872/252/872252dcead671982862f82a3b440f02aa8f525dd6d0f2921de0dc2b3e874ad0.wsp";
    assert_eq!(file(raw, TaggedLeaf::Hashed), hashed);
    let readable = "_tagged/872/252/stats_DOT_example_DOT_counts;tag1=value1.wsp";
    assert_eq!(file(raw, TaggedLeaf::Readable), readable);
}

#[test]
fn readable_leaves_that_are_unsafe_are_hashed() {
    for raw in ["/etc/x;a=b", "a;p=/var/log", "a;p=.."] {
        let (hashed, readable) = (
            file(raw, TaggedLeaf::Hashed),
            file(raw, TaggedLeaf::Readable),
        );
        assert_eq!(hashed == readable, raw.contains('/'), "{raw}");
    }
    // `x.wsp` fills the component to the byte.
    let fits = format!("a;b={}", "c".repeat(LAST_COMPONENT_BYTES_MAX - 4));
    assert_eq!(
        file(&fits, TaggedLeaf::Readable).len(),
        "_tagged/abc/def/".len() + 255
    );
    assert_eq!(
        file(&(fits + "c"), TaggedLeaf::Readable).len(),
        "_tagged/abc/def/.wsp".len() + 64
    );
}

/// `.DOT_` and `_DOT.` are written alike, although replacing `_DOT_` back would tell them apart.
#[test]
fn owners_follow_the_leaf() {
    let hash = |name, leaf| Metric::from_canonical(name).unwrap().owner_hash(leaf, 7);
    let (one, two) = ("a;k=.DOT_", "a;k=_DOT.");
    assert_eq!(path::readable_leaf(one), path::readable_leaf(two));
    assert_eq!(
        hash(one, TaggedLeaf::Readable),
        hash(two, TaggedLeaf::Readable)
    );
    assert_ne!(hash(one, TaggedLeaf::Hashed), hash(two, TaggedLeaf::Hashed));
    assert_eq!(
        hash("a._DOT_", TaggedLeaf::Readable),
        hash("a._DOT_", TaggedLeaf::Hashed)
    );
}

#[test]
fn shards_get_even_shares_and_keep_the_hash_s_ends_free() {
    let mut shares = [0u32; 6];
    let (mut buckets, mut tags) = (BTreeSet::new(), BTreeSet::new());
    for n in 0..60_000 {
        let name = format!("servers.web{}.cpu.{}", n / 7, n % 7);
        let hash = Metric::from_canonical(&name)
            .unwrap()
            .owner_hash(TaggedLeaf::Hashed, 3);
        let ShardIndex(shard) = owner(hash, 6);
        shares[usize::from(shard)] += 1;
        if shard == 2 {
            buckets.insert(hash & 255);
            tags.insert(hash >> 57);
        }
    }
    assert!(
        shares.iter().all(|share| (9_500..10_500).contains(share)),
        "{shares:?}"
    );
    assert_eq!((buckets.len(), tags.len()), (256, 128));
    assert_eq!(
        (owner(0, 1), owner(u64::MAX, 1024)),
        (ShardIndex(0), ShardIndex(1023))
    );
}

/// At every place of names of every length that the quick check takes in other steps.
#[test]
fn the_quick_check_overlooks_no_byte() {
    for length in 1..=70 {
        let plain = "a".repeat(length);
        assert!(path::is_plainly_canonical(&plain), "{plain}");
        for place in 0..length {
            for odd in ["/", ";", "\x1f", "\x7f", "\u{e9}", ".."] {
                let mut name = plain.clone();
                name.replace_range(place..=place, odd);
                assert!(!path::is_plainly_canonical(&name), "{name:?}");
            }
        }
    }
}

/// Text of the characters that the rules look at, and some others.
fn names() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        ".", ".", "/", "~", ";", ";", "=", "{", "\"}", "\"", "\\", ",", ":,", "!", "^", "a", "b",
        "name", "_tagged", "_DOT_", "a=b", ";a=1", ";name=x", "=\"x\"", " ", "\u{e9}", "\u{7f}",
    ]);
    prop_oneof![
        prop::collection::vec(pieces, 0..14).prop_map(|pieces| pieces.concat()),
        any::<String>(),
        "[a-z]{1,5}(;[a-c]{1,2}=[a-c]){0,30}",
        "[a-z]{1,5}\\{([a-c]{1,2}=\"[a-c]\",){0,3}[ab]=\"[a-c\\\\\"]{1,3}\"\\}",
        "[a-z.]{240,270}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn parse_is_idempotent(raw in names()) {
        let Ok(name) = canonical(&raw) else { return Ok(()) };
        prop_assert_eq!(canonical(&name), Ok(name.clone()));
        prop_assert_eq!(Metric::from_canonical(&name).map(|m| m.as_str()), Ok(name.as_str()));
        prop_assert!(name.len() <= raw.len(), "{} grew to {}", raw, name);
    }

    #[test]
    fn every_name_comes_to_rest(raw in names()) {
        prop_assert_ne!(canonical(&raw), Err(NameError::Unsettled));
    }

    /// Whatever is taken back as canonical is what `parse` leaves alone, and the reverse.
    #[test]
    fn from_canonical_takes_what_parse_leaves(raw in names()) {
        let unchanged = canonical(&raw).as_deref() == Ok(raw.as_str());
        prop_assert_eq!(Metric::from_canonical(&raw).is_ok(), unchanged);
    }

    /// The quick check is a part of the slow one.
    #[test]
    fn quick_and_slow_agree(raw in names()) {
        if path::is_plainly_canonical(&raw) {
            prop_assert_eq!(check_received(&raw), Ok(()));
            prop_assert!(is_canonical(&raw));
            prop_assert!(Metric::bounded(&raw).is_ok());
            let mut rewritten = String::new();
            rewrite(&raw, &mut rewritten);
            prop_assert_eq!(rewritten, raw);
        }
    }

    #[test]
    fn the_ordinary_name_takes_the_quick_way(raw in "[a-z0-9][a-z0-9_:%{ -]{0,20}(\\.[!a-z0-9_-]{1,20}){0,8}") {
        prop_assert!(path::is_plainly_canonical(&raw));
    }

    #[test]
    fn aliases_agree(
        parts in prop::collection::vec("[a-z\u{e9}]{1,3}", 1..5),
        joins in prop::collection::vec("[./]{1,3}", 5),
        head in "~{0,2}[./]{0,2}",
        tail in "[./]{0,2}",
    ) {
        let joined = parts.iter().zip(&joins).map(|(part, join)| format!("{part}{join}"));
        let raw = format!("{head}{}{tail}", joined.collect::<String>());
        prop_assert_eq!(canonical(&raw), Ok(parts.join(".")));
    }

    #[test]
    fn order_of_tags_does_not_count(
        tags in prop::collection::btree_map("[a-m-]{1,3}", "[a-z./]{1,4}", 1..40),
        rotate in 0usize..40,
    ) {
        let mut pairs: Vec<_> = tags.iter().map(|(key, value)| format!(";{key}={value}")).collect();
        pairs.sort();
        let sorted = format!("m.n{}", pairs.concat());
        let middle = rotate % pairs.len();
        pairs.rotate_left(middle);
        prop_assert_eq!(canonical(&format!("m.n{}", pairs.concat())), Ok(sorted));
    }

    #[test]
    fn paths_stay_below_the_data_directory(raw in names()) {
        let Ok(name) = canonical(&raw) else { return Ok(()) };
        let metric = Metric::from_canonical(&name).unwrap();
        for leaf in [TaggedLeaf::Hashed, TaggedLeaf::Readable] {
            let path = metric.file_path(leaf);
            let text = path.to_str().unwrap();
            prop_assert!(path.components().all(|part| matches!(part, Component::Normal(_))));
            prop_assert!(text.split('/').all(|part| !matches!(part, "" | "." | "..")), "{}", text);
            prop_assert!(text.split('/').all(|part| part.len() <= PATH_COMPONENT_BYTES_MAX));
            prop_assert!(!text.contains('\0') && text.ends_with(FILE_SUFFIX));
            prop_assert_eq!(text.starts_with("_tagged/"), metric.is_tagged());
        }
    }

    /// Untagged names and paths stand one to one, so that a hash of the name is one of the path.
    #[test]
    fn untagged_paths_give_the_name_back(raw in names()) {
        let Ok(name) = canonical(&raw) else { return Ok(()) };
        let metric = Metric::from_canonical(&name).unwrap();
        if !metric.is_tagged() {
            let path = metric.file_path(TaggedLeaf::Hashed);
            let text = path.to_str().unwrap().strip_suffix(FILE_SUFFIX).unwrap();
            prop_assert_eq!(text.replace('/', "."), name);
        }
    }

    #[test]
    fn owners_exist(hash: u64, shards in 1u16..=1024) {
        prop_assert!(owner(hash, shards).0 < shards);
    }
}
