//! Schema files against what Python carbon makes of them: which section wins, which is left out,
//! which stops the start. The cases marked [X] were observed by running it.

use super::*;
use crate::whisper::LayoutError;

fn archives(text: &str, metric: &str) -> (String, Vec<(u32, u32)>) {
    let (schemas, _) = Schemas::parse(text).unwrap();
    let Chosen { rule, gave_up } = schemas.archives(metric);
    assert_eq!(gave_up, None);
    let archives = rule
        .archives
        .iter()
        .map(|archive| (archive.step_s, archive.points));
    (rule.name.clone(), archives.collect())
}

const SITE: &str = "\
# the example of every installation
[carbon]
pattern = ^carbon\\.
retentions = 60:90d

[Slow_ones]
PATTERN : \\.slow$
Retentions : 60s:1d,
    5m:30d, 1h:5y
priority = 1

[tagged]
pattern = ;env=prod(;|$)
retentions = 10s:6h

[default_1min_for_1day]
priority = 100
pattern = .*
retentions = 60s:1d
";

#[test]
fn the_first_section_found_in_the_name_wins() {
    for (metric, name, expected) in [
        ("carbon.agents.a.slow", "carbon", vec![(60, 129_600)]),
        (
            "x.carbon.slow",
            "Slow_ones",
            vec![(60, 1440), (300, 8640), (3600, 43_800)],
        ),
        ("cpu;dc=fra;env=prod", "tagged", vec![(10, 2160)]),
        (
            "cpu;dc=fra;env=production",
            "default_1min_for_1day",
            vec![(60, 1440)],
        ),
    ] {
        assert_eq!(
            archives(SITE, metric),
            (name.to_owned(), expected),
            "{metric}"
        );
    }
    assert_eq!(Schemas::parse(SITE).unwrap().1, []);
    let (schemas, _) = Schemas::parse(SITE).unwrap();
    assert_eq!(
        schemas.iter().last().map(|rule| rule.name.as_str()),
        Some(DEFAULT_RULE)
    );
    assert_eq!(schemas.iter().count(), 5);
}

#[test]
fn the_default_takes_the_rest() {
    let default = (DEFAULT_RULE.to_owned(), vec![(60, 10_080)]);
    assert_eq!(archives("", "a.b"), default);
    assert_eq!(
        archives("[x]\npattern = ^y\nretentions = 1:1", "a.b"),
        default
    );
    assert_eq!(
        Schemas::builtin().archives("a").rule,
        Schemas::parse("").unwrap().0.archives("a").rule
    );
    let (aggregations, _) = Aggregations::parse("").unwrap();
    let rule = aggregations.rule("a").rule;
    assert_eq!((rule.x_files_factor, rule.method), (None, None));
}

/// References, `[DEFAULT]` and a percent sign in a pattern [X].
#[test]
fn values_are_resolved() {
    let text = "[DEFAULT]\nstep = 10\nretentions = %(step)s:60\n[a]\npattern = ^a%%b$\n[b]\nstep = 20\npattern = b";
    assert_eq!(archives(text, "a%b"), ("a".to_owned(), vec![(10, 60)]));
    assert_eq!(archives(text, "bb"), ("b".to_owned(), vec![(20, 60)]));
}

/// Python carbon goes over `[DEFAULT]` as over every section, beside lending its keys.
#[test]
fn the_default_section_is_a_rule_where_it_has_a_pattern() {
    let text = "[a]\npattern = ^a\nretentions = 10:6\n[DEFAULT]\npattern = .*\n\
                retentions = 60s:1y\n[z]\npattern = ^z\nretentions = 1:1\n";
    for (metric, name, expected) in [
        ("a.b", "a", (10, 6)),
        ("x", "DEFAULT", (60, 525_600)),
        ("z.b", "DEFAULT", (60, 525_600)),
    ] {
        let expected = (name.to_owned(), vec![expected]);
        assert_eq!(archives(text, metric), expected, "{metric}");
    }
    assert_eq!(Schemas::parse(text).unwrap().1, []);
    let text = "[DEFAULT]\npattern = s$\naggregationMethod = sum\n[a]\npattern = .\n";
    let (aggregations, _) = Aggregations::parse(text).unwrap();
    assert_eq!(aggregations.rule("hits").rule.name, "DEFAULT");
    assert_eq!(aggregations.rule("x").rule.name, "a");
    for (text, warned) in [
        ("[DEFAULT]\nstep = 60\n", false),
        ("[DEFAULT]\nretentions = 1:1\n", false),
        ("[DEFAULT]\npattern = .*\n", true),
    ] {
        let (schemas, warnings) = Schemas::parse(text).unwrap();
        assert_eq!(schemas.iter().count(), 1, "{text}");
        assert_eq!(!warnings.is_empty(), warned, "{text}");
    }
    let refused = Schemas::parse("[a]\n[DEFAULT]\nretentions = 1x:1\n").unwrap_err();
    assert_eq!(refused.line(), 3);
}

#[test]
fn archives_come_finest_first() {
    let text = "[a]\npattern = .\nretentions = 5m:1y,60:1d";
    assert_eq!(archives(text, "a").1, [(60, 1440), (300, 105_120)]);
}

#[test]
fn sections_that_python_skips_are_left_out_with_a_warning() {
    let text = "\
[no_pattern]
retentions = 60:10
[not_alone] # ours
pattern = .
retentions = bad
[empty_pattern]
pattern =
retentions = 60:10
[no_retentions]
pattern = .
[not_divisible]
pattern = .
retentions = 60s:1d,90s:1y
[no_points]
pattern = .
retentions = 60s:30s
[kept]
pattern = .
retention = 1:1
retentions = 60s:2m
";
    let (schemas, warnings) = Schemas::parse(text).unwrap();
    assert_eq!(schemas.archives("a").rule.name, "kept");
    let found: Vec<_> = warnings
        .iter()
        .map(|w| (w.line, w.section.as_str(), &w.reason))
        .collect();
    let layout = |reason| Reason::Layout(reason);
    assert_eq!(
        found,
        [
            (1, "no_pattern", &Reason::NoPattern),
            (3, "not_alone", &Reason::NotAlone),
            (7, "empty_pattern", &Reason::NoPattern),
            (9, "no_retentions", &Reason::NoRetentions),
            (
                13,
                "not_divisible",
                &layout(LayoutError::NotDivisible {
                    archive: 0,
                    fine_s: 60,
                    coarse_s: 90
                })
            ),
            (
                16,
                "no_points",
                &layout(LayoutError::Zero {
                    archive: 0,
                    step_s: 60,
                    points: 0
                })
            ),
            (
                19,
                "kept",
                &Reason::UnknownKey {
                    key: "retention".to_owned()
                }
            ),
        ]
    );
    let message = warnings[0].to_string();
    assert_eq!(
        message,
        "line 1: [no_pattern] is left out: it has no pattern; add a line such as pattern = .*"
    );
}

/// Each stops Python carbon's start, and says where.
#[test]
fn files_that_stop_python_are_refused() {
    for (text, message) in [
        (
            "[a]\npattern = .\nretentions = 60s:1d,",
            "line 3: [a] retentions: '' is not of the form",
        ),
        (
            "[a]\nretentions = 10X:1d",
            "line 2: [a] retentions: invalid precision specification '10X'",
        ),
        (
            "[a]\nretentions = 10:10$\n",
            "line 2: [a] retentions: invalid retention specification '10$'",
        ),
        (
            "[a]\nretentions = 60s:1d ; c\n",
            "line 2: [a] retentions: invalid retention",
        ),
        (
            "[a]\nretentions = 1x:1\n",
            "line 2: [a] retentions: invalid unit 'x'",
        ),
        (
            "[a]\nretentions = 1:1\npattern = (",
            "line 3: [a] pattern: the pattern cannot",
        ),
        (
            "[a]\npattern = 5%\n",
            "line 2: 'pattern' in [a] holds a bare '%'",
        ),
        ("[a]\n[a]\n", "line 2: section [a] appears twice"),
        (
            "[a]\npattern = x\nPattern = y\n",
            "line 3: 'Pattern' appears twice in [a]",
        ),
        (
            "pattern = x\n",
            "line 1: 'pattern = x' stands before the first [section]",
        ),
    ] {
        let error = Schemas::parse(text).unwrap_err().to_string();
        assert!(error.starts_with(message), "{text:?}: {error}");
    }
}

#[test]
fn aggregations_may_say_half() {
    let text = "\
[min]
pattern = \\.lower(_\\d+)?$
xFilesFactor = 0.1
aggregationMethod = min
[sum]
pattern = \\.count$
aggregationMethod = sum
[factor]
pattern = \\.f$
xFilesFactor = 0
";
    let (aggregations, warnings) = Aggregations::parse(text).unwrap();
    assert_eq!(warnings, []);
    for (metric, name, x_files_factor, method) in [
        ("a.lower_90", "min", Some(0.1), Some(Aggregation::Min)),
        ("a.count", "sum", None, Some(Aggregation::Sum)),
        ("a.f", "factor", Some(0.0), None),
        ("a.b", DEFAULT_RULE, None, None),
    ] {
        let rule = AggregationRule {
            name: name.to_owned(),
            x_files_factor,
            method,
        };
        assert_eq!(
            aggregations.rule(metric),
            Chosen {
                rule: &rule,
                gave_up: None
            },
            "{metric}"
        );
    }
    assert_eq!(aggregations.iter().count(), 4);
}

#[test]
fn bad_aggregations_are_refused_or_left_out_as_in_python() {
    for (text, message) in [
        (
            "[a]\nxFilesFactor = 1.1",
            "line 2: [a] xFilesFactor 1.1 is not between 0 and 1",
        ),
        (
            "[a]\nxFilesFactor = nan",
            "line 2: [a] xFilesFactor nan is not between 0 and 1",
        ),
        (
            "[a]\naggregationMethod = mean",
            "line 2: [a] aggregationMethod 'mean' is unknown",
        ),
        (
            "[a]\naggregationMethod = Sum",
            "line 2: [a] aggregationMethod 'Sum' is unknown",
        ),
        (
            "[a]\npattern = [",
            "line 2: [a] pattern: '[' at character 1 of the pattern is not",
        ),
    ] {
        let error = Aggregations::parse(text).unwrap_err().to_string();
        assert!(error.starts_with(message), "{text:?}: {error}");
    }
    let text =
        "[a]\npattern = .\nxFilesFactor = half\n[b]\naggregationMethod = sum\n[c]\npattern = .";
    let (aggregations, warnings) = Aggregations::parse(text).unwrap();
    assert_eq!(aggregations.rule("x").rule.name, "c");
    let lines: Vec<_> = warnings.iter().map(|warning| warning.line).collect();
    assert_eq!(lines, [3, 4]);
    for method in [
        "average", "sum", "last", "max", "min", "avg_zero", "absmax", "absmin",
    ] {
        let text = format!("[a]\npattern = .\naggregationMethod = {method}");
        let (aggregations, _) = Aggregations::parse(&text).unwrap();
        assert!(aggregations.rule("x").rule.method.is_some(), "{method}");
    }
}

#[test]
fn a_pattern_given_up_on_is_named_and_does_not_match() {
    let text =
        "[wild]\npattern = ^(a|a)+(?=\\.)$\nretentions = 1:1\n[all]\npattern = .\nretentions = 2:2";
    let (schemas, _) = Schemas::parse(text).unwrap();
    let Chosen { rule, gave_up } = schemas.archives(&"a".repeat(60));
    assert_eq!((rule.name.as_str(), gave_up), ("all", Some("wild")));
    assert_eq!(schemas.archives("b").gave_up, None);
}

#[test]
fn rules_may_be_shared_by_threads() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<Schemas>();
    shared::<Aggregations>();
}

/// What is wrong with one section leaves the others in the survey; `parse` refuses the file.
#[test]
fn a_survey_keeps_what_can_be_read_and_names_the_rest() {
    let text = "[a]\npattern = a\nretentions = 1x:1\nword\n[b]\npattern = b\nretentions = 1:1\n\
                [c]\npattern = (\nretentions = 1:1\n[d]\nretentions = 1:1\n";
    let survey = Schemas::survey(text);
    let lines: Vec<usize> = survey.errors.iter().map(SchemaError::line).collect();
    assert_eq!(lines, [4, 3, 9], "the grammar first");
    assert_eq!(survey.rules.archives("b").rule.name, "b");
    assert_eq!(survey.warnings.len(), 1);
    assert_eq!(Schemas::parse(text).unwrap_err(), survey.errors[0]);
}
