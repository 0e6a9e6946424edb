//! Lists as operators write them, and names as senders do. What Python's carbon.regexlist makes of
//! the same is compared in the integration tests.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn list(text: &str) -> (Arc<List>, Vec<Warning>) {
    let (list, warnings) = List::parse(Path::new("/conf/list.conf"), text).unwrap();
    (Arc::new(list), warnings)
}

fn lists(blacklist: &str, whitelist: &str) -> Lists {
    let ((blacklist, none), (whitelist, nothing)) = (list(blacklist), list(whitelist));
    assert_eq!((none, nothing), (vec![], vec![]));
    Lists {
        blacklist,
        whitelist,
    }
}

#[test]
fn the_blacklist_is_asked_first_and_an_empty_whitelist_takes_all() {
    use Verdict::{Admitted, Blacklisted, NotWhitelisted};
    for (blacklist, whitelist, name, verdict) in [
        ("", "", "a.b", Admitted),
        ("^a", "", "a.b", Blacklisted),
        ("^a", "", "b.a", Admitted),
        ("b$", "^a", "a.b", Blacklisted),
        ("", "^a", "a.b", Admitted),
        ("", "^a", "b.a", NotWhitelisted),
        ("", "# nothing but a comment\n\n", "b.a", Admitted),
        ("x", "y\nb.*a", "b.a", Admitted),
        // The raw name, whatever metric it stands for.
        (r"^a\.\.b$", "", "a..b", Blacklisted),
        (r"^a\.\.b$", "", "a.b", Admitted),
        ("^m;b=2;a=1$", "", "m;a=1;b=2", Admitted),
        ("^m;b=2;a=1$", "", "m;b=2;a=1", Blacklisted),
        (r"^(?!carbon\.)", "", "stats.x", Blacklisted),
        (r"^(?!carbon\.)", "", "carbon.x", Admitted),
    ] {
        let lists = lists(blacklist, whitelist);
        let judged = lists.judge(name);
        assert_eq!(
            judged.verdict, verdict,
            "{name}: {blacklist:?} {whitelist:?}"
        );
        assert!(judged.gave_up.is_none());
    }
}

#[test]
fn comments_are_in_the_first_column_and_spaces_are_cut_off() {
    let (found, warnings) = list("# one\n  ^two  \r\n\n\t\n #three\r^four\n#five\r\n");
    let texts: Vec<(usize, &str)> = found
        .entries
        .iter()
        .map(|entry| (entry.line(), entry.text()))
        .collect();
    assert_eq!(texts, [(2, "^two"), (5, "#three"), (6, "^four")]);
    assert_eq!(warnings, []);
    assert_eq!((found.len(), found.is_empty()), (3, false));
}

#[test]
fn a_line_that_is_no_pattern_is_left_out_and_named() {
    let (found, warnings) = list("^good\n(\n# a\n[z-a]\n^fine$");
    assert_eq!(found.len(), 2);
    let [first, second] = warnings.as_slice() else {
        panic!("{warnings:?}")
    };
    assert!(
        first.to_string().starts_with("line 2: `(` is left out: "),
        "{first}"
    );
    assert_eq!((second.line, second.text.as_str()), (4, "[z-a]"));
}

#[test]
fn too_many_patterns_are_refused() {
    let most = "^a\n".repeat(LIST_PATTERNS_MAX) + "# the end\n";
    assert_eq!(list(&most).0.len(), LIST_PATTERNS_MAX);
    let error = List::parse(Path::new("x"), &(most + "^b")).unwrap_err();
    assert_eq!(
        error,
        ListError::TooMany {
            line: LIST_PATTERNS_MAX + 2
        }
    );
}

#[test]
fn a_pattern_that_is_given_up_on_does_not_match_and_is_said_once() {
    let lists = lists("^(a|a)+(?=[.!])$\n^b", "^(c|c)+(?=[.!])$\na");
    let endless = "a".repeat(60);
    let judged = lists.judge(&endless);
    assert_eq!(judged.verdict, Verdict::Admitted);
    let (list, entry) = judged.gave_up.unwrap();
    assert_eq!(
        (list.file(), entry.line()),
        (Path::new("/conf/list.conf"), 1)
    );
    assert!(entry.is_to_be_said());
    assert!(!lists.judge(&endless).gave_up.unwrap().1.is_to_be_said());
    assert_eq!(lists.judge("b").verdict, Verdict::Blacklisted);
    // One of the whitelist is said too, and is no match there.
    let judged = lists.judge(&"c".repeat(60));
    assert_eq!(judged.verdict, Verdict::NotWhitelisted);
    assert!(judged.gave_up.unwrap().1.is_to_be_said());
}

/// Pieces of patterns over few letters, so that names match them.
const PIECES: &[&str] = &[
    "a", "b", "ab", "ba.", r"\.", r"b\.a", ".", "[ab]", "[^a]", r"\w", "^", "$", r"\b", "",
];
/// What stands around others, for which there is an `X`.
const AROUND: &[&str] = &[
    "(X)",
    "(?:X)",
    "(?>X)",
    "(?=X)",
    "(?!X)",
    "(?<=X)",
    "(?<!X)",
    "(?:X)?",
    "(?:X)*",
    "(?:X)+",
    "(?:X){2}",
    "(?:X){0,2}",
    "(?:X){1,}?",
    "(?:X)++",
    "(?i:X)",
    r"(X)\1",
    "(?P<n>X)",
    "(X)?(?(1)a|X)",
    "(a)?(?(1)X)",
    "X|",
];

/// Patterns in Python's syntax, of which some make no sense.
fn any_pattern() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(PIECES).prop_map(str::to_owned);
    piece.prop_recursive(4, 12, 4, |inner| {
        prop_oneof![
            2 => vec(inner.clone(), 1..4).prop_map(|parts| parts.concat()),
            2 => (inner.clone(), prop::sample::select(AROUND))
                .prop_map(|(inner, around)| around.replace('X', &inner)),
            1 => (inner.clone(), inner).prop_map(|(one, other)| format!("(?:{one}|{other})")),
        ]
    })
}

fn any_list() -> impl Strategy<Value = List> {
    let flags = prop_oneof![9 => Just(""), 1 => Just("(?i)")];
    let patterns = vec((flags, any_pattern()), 0..6);
    patterns.prop_map(|patterns| {
        let lines = patterns
            .iter()
            .map(|(flags, pattern)| format!("{flags}{pattern}\n"));
        let text: String = lines.collect();
        List::parse(Path::new("list"), &text).unwrap().0
    })
}

proptest! {
    /// What is left out by the sieve, and where the way through the lists is interrupted, changes no
    /// verdict.
    #[test]
    fn verdicts_are_those_of_searching_for_every_pattern(
        blacklist in any_list(),
        whitelist in any_list(),
        names in vec("[abA.]{0,7}", 1..20),
        patterns_max in 1_usize..4,
    ) {
        let lists = Lists { blacklist: blacklist.into(), whitelist: whitelist.into() };
        let mut judging = Judging::default();
        for name in names {
            let expected = if lists.blacklist.first(&name).is_some() {
                Verdict::Blacklisted
            } else if lists.whitelist.is_empty() || lists.whitelist.first(&name).is_some() {
                Verdict::Admitted
            } else {
                Verdict::NotWhitelisted
            };
            prop_assert_eq!(lists.judge(&name).verdict, expected, "{:?}", name);
            judging.begin(&lists, &name);
            let judged = std::iter::repeat_with(|| judging.go_on(&lists, &name, patterns_max));
            let judged = judged.take(20).flatten().next();
            prop_assert_eq!(judged.map(|it| it.verdict), Some(expected), "{:?}", name);
        }
    }
}

#[test]
fn a_long_list_is_asked_a_few_patterns_at_a_time() {
    let many = "^[xy]+$\n".repeat(1_000);
    let lists = lists(&many, &many);
    let mut judging = Judging::default();
    for (name, verdict, pieces) in [
        ("z", Verdict::NotWhitelisted, 2_002_usize.div_ceil(4)),
        ("x", Verdict::Blacklisted, 1),
    ] {
        judging.begin(&lists, name);
        let mut gone = 1;
        let judged = loop {
            if let Some(judged) = judging.go_on(&lists, name, 4) {
                break judged;
            }
            gone += 1;
        };
        assert_eq!((judged.verdict, gone), (verdict, pieces), "{name}");
    }
}
