//! Broken files of configuration, and every message that each must bring, and no other.
//! The files lie in fixtures/carbon/broken.

/// A message: its level, its line (0 is the whole file), and words that it must have in this order.
pub(super) type Message = (&'static str, u64, &'static [&'static str]);

/// The broken files and what is said of each, in the order of the lines.
pub(super) const BROKEN: &[(&str, &[Message])] = &[
    (
        "inline-comment.carbon.conf",
        &[(
            "error",
            3,
            &[
                "MAX_CACHE_SIZE",
                "# as much as there is memory",
                "on a line of its own",
            ],
        )],
    ),
    (
        "misspelt-keys.carbon.conf",
        &[
            (
                "warning",
                2,
                &[
                    "MAX_UPDATES_PER_SECONDS is no option",
                    "did you mean MAX_UPDATES_PER_SECOND?",
                ],
            ),
            (
                "warning",
                3,
                &["LINE_RECIEVER_PORT", "did you mean LINE_RECEIVER_PORT?"],
            ),
            ("warning", 4, &["STATSD_FLUSH is no option", "remove it"]),
        ],
    ),
    (
        "unreadable-values.carbon.conf",
        &[
            (
                "error",
                2,
                &[
                    "MAX_CREATES_PER_MINUTE = fifty",
                    "no rate",
                    "write a number",
                ],
            ),
            (
                "error",
                3,
                &["LINE_RECEIVER_PORT = 70000", "65535", "write that or less"],
            ),
            (
                "error",
                4,
                &["ENABLE_UDP_LISTENER = maybe", "write True or False"],
            ),
            (
                "error",
                5,
                &["MAX_CACHE_SIZE = 2 million", "write one from"],
            ),
            (
                "error",
                8,
                &[
                    "[cache:b] CACHE_QUERY_PORT = 7102b",
                    "write one from 0 to 65535",
                ],
            ),
        ],
    ),
    (
        "no-section.carbon.conf",
        &[
            ("warning", 0, &["no [cache] section", "write [cache] above"]),
            (
                "error",
                1,
                &[
                    "'USER = carbon' stands before the first [section]",
                    "put a section head above",
                ],
            ),
            ("error", 2, &["MAX_CACHE_SIZE", "put a section head above"]),
        ],
    ),
    (
        "twice.carbon.conf",
        &[
            (
                "error",
                4,
                &[
                    "max_cache_size",
                    "twice in [cache], first in line 2",
                    "remove one",
                ],
            ),
            (
                "error",
                9,
                &["[cache] appears twice, first in line 1", "join the two"],
            ),
        ],
    ),
    (
        "percent.carbon.conf",
        &[
            ("error", 2, &["LOG_DIR", "bare '%'", "write '%%'"]),
            (
                "error",
                3,
                &[
                    "LOCAL_DATA_DIR",
                    "%(STORAGE)s",
                    "neither [cache] nor [DEFAULT] sets",
                ],
            ),
        ],
    ),
    (
        "quotes.carbon.conf",
        &[
            (
                "warning",
                2,
                &[
                    "LOCAL_DATA_DIR stands in quotes",
                    "part of its value",
                    "take them off",
                ],
            ),
            ("warning", 3, &["USER stands in quotes", "take them off"]),
            (
                "warning",
                6,
                &["[relay] RELAY_RULES stands in quotes", "take them off"],
            ),
        ],
    ),
    (
        "indented-key.carbon.conf",
        &[(
            "error",
            2,
            &[
                "MAX_CREATES_PER_MINUTE = 100",
                "indented",
                "move it to the first column",
            ],
        )],
    ),
    (
        "no-equals-sign.carbon.conf",
        &[(
            "error",
            2,
            &[
                "USE_FLOW_CONTROL True",
                "neither '[section]' nor 'key = value'",
                "begin it with '#'",
            ],
        )],
    ),
    (
        "only-in-python.carbon.conf",
        &[
            (
                "error",
                2,
                &["DATABASE = ceres", "only Whisper", "write whisper"],
            ),
            ("error", 3, &["ENABLE_AMQP = True", "AMQP", "write False"]),
            (
                "error",
                4,
                &["ENABLE_MANHOLE = True", "no Python", "write False"],
            ),
        ],
    ),
    (
        "same-port.carbon.conf",
        &[(
            "error",
            3,
            &[
                "LINE_RECEIVER_PORT (line 2 [cache]) and PICKLE_RECEIVER_PORT",
                "give one of them another",
            ],
        )],
    ),
    (
        "unknown-strategy.carbon.conf",
        &[(
            "warning",
            2,
            &[
                "CACHE_WRITE_STRATEGY = sort:",
                "write one of sorted, timesorted",
                "sorted is used",
            ],
        )],
    ),
    (
        "misspelt-section.carbon.conf",
        &[
            ("warning", 0, &["no [cache] section", "write [cache] above"]),
            (
                "warning",
                1,
                &["[cahce] is read by no program", "there are [cache]"],
            ),
        ],
    ),
    (
        "relay-section.carbon.conf",
        &[
            (
                "error",
                5,
                &[
                    "[relay] RELAY_METHOD = hashing",
                    "write one of constant, rules, consistent-hashing",
                ],
            ),
            (
                "error",
                6,
                &["REPLICATION_FACTOR = two", "no whole number", "write one"],
            ),
            (
                "error",
                7,
                &["`127.0.0.1` is no destination", "write HOST:PORT"],
            ),
            (
                "error",
                8,
                &["USE_FLOW_CONTROL = perhaps", "write True or False"],
            ),
            (
                "warning",
                11,
                &[
                    "[aggregator] DESTINATION is no option",
                    "did you mean DESTINATIONS?",
                ],
            ),
            ("error", 12, &["FORWARD_ALL = never", "write True or False"]),
        ],
    ),
    (
        "units.storage-schemas.conf",
        &[
            (
                "error",
                3,
                &[
                    "[collectd] retentions",
                    "invalid unit 'sec'",
                    "there are s, m, h",
                ],
            ),
            (
                "error",
                7,
                &["'60s' is not of the form", "write a list such as"],
            ),
        ],
    ),
    (
        "comment.storage-schemas.conf",
        &[(
            "error",
            3,
            &["'1d ; one day'", "write points like 1440 or a time like 1d"],
        )],
    ),
    (
        "missing-keys.storage-schemas.conf",
        &[
            (
                "warning",
                1,
                &["[carbon] is left out", "no retentions", "add a line"],
            ),
            (
                "warning",
                4,
                &["[default] is left out", "no pattern", "add a line"],
            ),
        ],
    ),
    (
        "layout.storage-schemas.conf",
        &[(
            "warning",
            3,
            &[
                "[default] is left out",
                "90 seconds per point are no multiple",
                "correct its retentions",
            ],
        )],
    ),
    (
        "unreachable.storage-schemas.conf",
        &[(
            "warning",
            5,
            &[
                "[carbon] is never reached",
                "[default] above",
                "move [carbon] above [default]",
            ],
        )],
    ),
    (
        "regex.storage-schemas.conf",
        &[
            (
                "error",
                2,
                &[
                    "[web] pattern",
                    "at character 5",
                    "not finished",
                    "correct the pattern",
                ],
            ),
            (
                "error",
                6,
                &[
                    "[cpu] pattern",
                    "'*' at character 1",
                    "nothing before it to repeat",
                    "correct",
                ],
            ),
        ],
    ),
    (
        "methods.storage-aggregation.conf",
        &[
            (
                "error",
                3,
                &[
                    "[avg] aggregationMethod 'avg' is unknown",
                    "there are average, sum",
                ],
            ),
            ("error", 7, &["[sum] xFilesFactor 50", "write a share"]),
            (
                "warning",
                12,
                &["[max] is left out", "'half' is no number", "write a share"],
            ),
        ],
    ),
    (
        "globs.blacklist.conf",
        &[
            (
                "error",
                2,
                &["*.tmp", "at character 1", "correct the pattern"],
            ),
            ("error", 4, &["**", "correct the pattern"]),
        ],
    ),
    (
        "comments.blacklist.conf",
        &[
            (
                "warning",
                2,
                &[
                    "`# and this, too` is part of the pattern",
                    "line of its own",
                ],
            ),
            ("warning", 4, &["`# gone by now`", "first column"]),
        ],
    ),
    (
        "two-defaults.relay-rules.conf",
        &[
            (
                "error",
                1,
                &["[web] has both pattern and default", "keep one"],
            ),
            (
                "error",
                10,
                &[
                    "[more] is a second default beside [rest]",
                    "leave default = true in one",
                ],
            ),
            (
                "error",
                12,
                &["`127.0.0.1` is no destination", "write HOST:PORT"],
            ),
        ],
    ),
    (
        "no-default.relay-rules.conf",
        &[
            ("error", 0, &["no section has default = true", "add one"]),
            (
                "warning",
                5,
                &["[rest] has neither pattern nor default", "add one"],
            ),
            (
                "error",
                8,
                &["[none] has no destinations", "add a line destinations"],
            ),
        ],
    ),
    (
        "methods.aggregation-rules.conf",
        &[
            ("error", 1, &["no method mean", "write one of sum"]),
            ("error", 2, &["(60 s)", "no rule", "write OUTPUT (SECONDS)"]),
            ("error", 3, &["(0) is no interval", "write whole seconds"]),
            ("error", 4, &["<dc> of the output", "write it there too"]),
        ],
    ),
    (
        "groups.rewrite-rules.conf",
        &[
            (
                "warning",
                1,
                &[
                    "stands before the first section",
                    "put [pre] or [post] above it",
                ],
            ),
            ("error", 4, &["\\2 refers to a group", "write ( and )"]),
            ("error", 5, &["`^web`", "write REGEX = REPLACEMENT"]),
            (
                "warning",
                6,
                &["[before] is not read", "write [pre] or [post]"],
            ),
        ],
    ),
];
