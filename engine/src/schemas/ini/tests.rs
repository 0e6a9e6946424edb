//! The grammar against what Python 3.11's ConfigParser makes of the same texts.
//! Every refusal is compared with its line.
//! The property test holds for any text: read or refused, never a panic.

use super::{IniError, IniFile};

fn get(text: &str, key: &str) -> Result<Option<String>, IniError> {
    IniFile::parse(text).and_then(|file| file.get("s", key))
}

/// Values as Python 3.11's ConfigParser gives them for the same text.
#[test]
fn values_are_python_s() {
    for (text, value) in [
        ("[s]\nk = v", "v"),
        ("[s]\nK:v", "v"),
        ("[s]\nk = a:b=c", "a:b=c"),
        ("[s]\nk : a=b", "a=b"),
        ("[s]\nk = 60s:1d ; c", "60s:1d ; c"),
        ("[s]\nk = v # c", "v # c"),
        ("[s]\nk = 60s:1d,\n 5m:30d", "60s:1d,\n5m:30d"),
        ("[s]\nk = a\n\n b\n\n\nl = c", "a\n\nb"),
        ("[s]\nk = a\n # comment\n b", "a\nb"),
        ("[s]\nk =\n  a\n  [t]\n", "\na\n[t]"),
        ("  [s]\n  k = a\n   b", "a\nb"),
        ("[s]\r\nk = a\r\n", "a"),
        ("[s]\n\u{a0}\u{1c}k\u{2003}=\u{85}v\u{1f}", "v"),
        ("[s] junk\nk = v", "v"),
        ("[s]\nk = 100%%", "100%"),
        ("[s]\nk = %(a)s/x\nA = %(b)s\nb = c", "c/x"),
        ("[DEFAULT]\nd = e\nk = not this\n[s]\nk = %(D)s", "e"),
        ("[DEFAULT]\nk = 1\n[DEFAULT]\nl = 2\n[s]", "1"),
        ("[s]\nk =", ""),
    ] {
        assert_eq!(get(text, "k"), Ok(Some(value.to_owned())), "{text:?}");
    }
}

#[test]
fn refusals_name_the_line() {
    for (text, message) in [
        ("k = v", "line 1: 'k = v' stands before the first [section]"),
        (
            "RAVEN_DSN = secret",
            "line 1: 'RAVEN_DSN = ...' stands before",
        ),
        (
            "GRAPHITE_URL = http://me:pass@web",
            "line 1: 'GRAPHITE_URL = ...' stands before",
        ),
        (
            "[s]\n[s]",
            "line 2: section [s] appears twice, first in line 1",
        ),
        (
            "[s]\nk = 1\n\nK = 2",
            "line 4: 'K' appears twice in [s], first in line 2",
        ),
        (
            "[s]\nword",
            "line 2: 'word' is neither '[section]' nor 'key = value'",
        ),
        (
            "\u{feff}[s]\nk = v",
            "line 1: an invisible byte order mark stands before the first letter; save",
        ),
        (
            "[s\nk = v",
            "line 1: '[s' is no section head; write a name between",
        ),
        ("[s]\n[]", "line 2: '[]' is no section head"),
        ("[s]\n= v", "line 2: no key stands before"),
        (
            "[s]\nk = 5%",
            "line 2: 'k' in [s] holds a bare '%'; write '%%'",
        ),
        ("[s]\nk = %()s", "line 2: 'k' in [s] holds a bare '%'"),
        ("[s]\nk = %(a)", "line 2: 'k' in [s] holds a bare '%'"),
        (
            "[s]\nk = %(x)s",
            "line 2: 'k' in [s] refers to '%(x)s', which neither [s] nor",
        ),
        (
            "[s]\nk = %(k)s",
            "line 2: 'k' in [s] refers through more than 10 keys",
        ),
    ] {
        let error = get(text, "k").expect_err(text).to_string();
        assert!(error.starts_with(message), "{text:?}: {error}");
    }
}

#[test]
fn behind_a_byte_order_mark_the_file_is_read_on() {
    let (file, faults) = IniFile::survey("\u{feff}[s]\nk = v\n");
    assert_eq!(faults, [IniError::ByteOrderMark { line: 1 }]);
    assert_eq!(file.get("s", "k"), Ok(Some("v".to_owned())));
}

#[test]
fn a_value_that_doubles_ten_times_is_refused() {
    let mut text = format!("[s]\nk0 = {}\n", "x".repeat(1024));
    for n in 1..9 {
        let twice = format!("%(k{})s", n - 1).repeat(2);
        text.extend([format!("k{n} = {twice}\n")]);
    }
    let values = |key| get(&text, key).map(|value| value.map(|value| value.len()));
    assert_eq!(values("k6"), Ok(Some(64 << 10)));
    assert!(matches!(
        values("k7"),
        Err(IniError::ValueTooLong { line: 9, .. })
    ));
}

/// What `survey` finds past the first fault; `parse` tells of that one alone.
#[test]
fn a_survey_goes_on_and_names_every_fault() {
    let text = "a = 1\n[s]\nb = 2\nword\nB = 3\n[t]\n[s]\nc = 4\n= 5\n";
    let (file, faults) = IniFile::survey(text);
    let lines: Vec<usize> = faults.iter().map(IniError::line).collect();
    assert_eq!(lines, [1, 4, 5, 7, 9]);
    assert_eq!(IniFile::parse(text).as_ref(), Err(&faults[0]));
    assert_eq!(file.get("s", "b"), Ok(Some("2".to_owned())));
    assert_eq!(file.get("s", "c"), Ok(Some("4".to_owned())));
    let (_, faults) = IniFile::survey(&"word\n".repeat(1000));
    assert_eq!(faults.len(), crate::limits::INI_FAULTS_MAX);
}

#[test]
fn sections_keep_order_case_and_lines() {
    let file = IniFile::parse("# top\n[B]\nX_y = 1\n[a b]\n[DEFAULT]\nz = 2\n").unwrap();
    let heads: Vec<_> = file
        .sections()
        .iter()
        .map(|s| (s.name.as_str(), s.line))
        .collect();
    assert_eq!(heads, [("B", 2), ("a b", 4)]);
    let entry = &file.sections()[0].entries()[0];
    assert_eq!(
        (entry.key.as_str(), entry.value.as_str(), entry.line),
        ("X_y", "1", 3)
    );
    let all = file.values(&file.sections()[0]).unwrap();
    assert_eq!(all, [("z".into(), "2".into()), ("x_y".into(), "1".into())]);
    assert_eq!(file.get("b", "x_y"), Ok(None));
    assert_eq!(
        (file.defaults().line, file.defaults().entries().len()),
        (5, 1)
    );
}

/// `OrderedConfigParser.sections` of carbon 1.1.10 lists every head that is alone on its line.
#[test]
fn rules_have_the_default_section_in_its_place() {
    for (text, heads) in [
        ("[a]\n[DEFAULT]\nk = 1\n[z]", vec!["a", "DEFAULT", "z"]),
        ("[DEFAULT]\n[a]", vec!["DEFAULT", "a"]),
        (
            "[a]\n[DEFAULT] # ours\n[b]\n[DEFAULT]",
            vec!["a", "b", "DEFAULT"],
        ),
        ("[DEFAULT] # ours\n[a]", vec!["a"]),
        ("[default]\n[a]", vec!["default", "a"]),
        ("", vec![]),
    ] {
        let file = IniFile::parse(text).unwrap();
        let found: Vec<_> = file.rules().map(|section| section.name.as_str()).collect();
        assert_eq!(found, heads, "{text:?}");
    }
    let file = IniFile::parse("[DEFAULT]\na = 1\nk = %(a)s\n[s]\na = 2\n").unwrap();
    assert_eq!(file.get("DEFAULT", "k"), Ok(Some("1".to_owned())));
    assert_eq!(file.get("s", "k"), Ok(Some("2".to_owned())));
}

#[test]
fn fallbacks_come_last() {
    let file = IniFile::parse("[DEFAULT]\nb = 2\n[s]\nk = %(A)s%(b)s\n").unwrap();
    let with = |pairs: &[(&str, &str)]| file.get_with("s", "k", pairs);
    assert_eq!(with(&[("a", "1%"), ("B", "3")]), Ok(Some("1%2".to_owned())));
    assert!(matches!(with(&[]), Err(IniError::UnknownReference { .. })));
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "[\\[\\]a-c=:%()s#; \n\r\t]{0,80}") {
        if let Ok(file) = IniFile::parse(&text) {
            for section in file.sections() {
                drop(file.values(section));
            }
        }
    }
}
