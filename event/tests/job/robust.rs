//! Files made to hurt, and files that are broken at random: an answer, soon, and never a panic.

use jobico_event::catalog::{Document, FunctionPin, JobVersion, Queue, Route, SchemaPin};
use jobico_event::job::{
    self, DEPTH_MAX, EVENTS_MAX, FAULTS_MAX, FILE_BYTES_MAX, KEY_BYTES_MAX, NODES_MAX, QUEUES_MAX,
};
use jobico_event::{Digest, EventId, FileName, JobId, QueueId, RuntimeId, TenantId};

use super::{LOWER, faults};

#[test]
fn aliases_that_multiply_end_at_the_limit_of_values() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..=12 {
        let alias = format!("*a{}", level - 1);
        bomb.push_str(&format!("a{level}: &a{level} [{}]\n", [alias.as_str(); 9].join(", ")));
    }
    let found = faults(&bomb);
    assert_eq!(found.len(), 1);
    assert!(found[0].contains(&format!("more than {NODES_MAX} values, aliases counted in full")), "{found:?}");
    assert!(found[0].starts_with("line 5, "), "{found:?}");
}

#[test]
fn an_alias_within_its_own_anchor_is_refused() {
    assert_eq!(faults("id: &a [*a]\n"), ["line 1, column 9: this alias stands inside of what it stands for"]);
}

#[test]
fn nesting_ends_at_its_limit() {
    let ours = format!("the file nests deeper than {DEPTH_MAX} levels");
    for (step, message) in [
        // What may still become a key of one line is read ahead of, up to the parser's own limit of 255.
        ("[", "line 1, column 256: not YAML: recursion limit exceeded".to_owned()),
        ("{a: ", "line 1, column 1021: not YAML: recursion limit exceeded".to_owned()),
        ("- ", format!("line 1, column 49: {ours}")),
        ("? ", format!("line 1, column 49: {ours}")),
    ] {
        assert_eq!(faults(&step.repeat(60_000)), [message], "{step}");
    }
}

#[test]
fn a_file_larger_than_the_limit_is_refused() {
    let large = format!("{LOWER}{}", " ".repeat(FILE_BYTES_MAX));
    let bytes = large.len();
    assert_eq!(faults(&large), [format!("line 1, column 1: the file has {bytes} bytes, {FILE_BYTES_MAX} are allowed")]);
}

#[test]
fn more_faults_than_the_limit_are_counted() {
    let unknown: String = (0..150).map(|number| format!("unknown{number}: 1\n")).collect();
    let found = faults(&format!("{LOWER}{unknown}"));
    assert_eq!(found.len(), FAULTS_MAX);
    assert_eq!(found[FAULTS_MAX - 1], "line 123, column 1: from here on there are 51 more faults");
}

#[test]
fn more_queues_than_the_limit_are_refused() {
    let queues: String = (0..=QUEUES_MAX).map(|number| format!("  - id: more{number}\n")).collect();
    let found = faults(&LOWER.replace("  - id: q3\n", &format!("  - id: q3\n{queues}")));
    assert_eq!(found[0], format!("line 5, column 3: queues: the list has 104 items, {QUEUES_MAX} are allowed"));
}

/// A generator of test inputs (xorshift64*); its seed is printed by the test that fails.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit
    }
}

#[test]
fn a_file_broken_at_random_is_answered_with_places_inside_of_it() {
    let pieces = [
        "\n",
        " ",
        "  ",
        ":",
        ": ",
        "- ",
        "[",
        "]",
        "{",
        "}",
        "&a ",
        "*a",
        "!!int ",
        "!x ",
        "\"",
        "'",
        "|\n",
        ">\n",
        "#",
        "?",
        "~",
        "%TAG ! x\n",
        "---\n",
        "...\n",
        "\t",
        "\u{feff}",
        "\u{85}",
        "\u{2028}",
        "\0",
        "ä",
        "🦀",
        ",",
        "<<: ",
        "@",
        "`",
    ];
    for seed in 1..=3_000 {
        let mut random = Random(seed);
        let mut characters: Vec<char> = LOWER.chars().collect();
        for _ in 0..=random.below(6) {
            let at = random.below(characters.len());
            let until = at + random.below(8).min(characters.len() - at - 1);
            let piece = pieces[random.below(pieces.len())];
            characters.splice(at..until, piece.chars());
        }
        let text: String = characters.into_iter().collect();
        let answer = std::panic::catch_unwind(|| job::parse(&text));
        let Ok(answer) = answer else { panic!("seed {seed}: parsing panics") };
        if let Err(faults) = answer {
            assert!(!faults.is_empty(), "seed {seed}");
            let lines = text.split(['\n', '\u{85}', '\u{2028}']).count() as u32 + 1;
            for fault in faults {
                assert!((1..=lines).contains(&fault.line) && fault.column >= 1, "seed {seed}: {fault}");
            }
        }
    }
}

#[test]
fn every_beginning_of_a_file_is_answered() {
    for end in 0..LOWER.trim_end().len() {
        assert!(job::parse(&LOWER[..end]).is_err(), "the first {end} bytes are no whole job");
    }
}

#[test]
fn the_largest_job_fits_into_a_record_that_kafka_takes_by_default() {
    // `max.message.bytes` is 1,048,588 and a producer's `message.max.bytes` 1,000,000, framing included.
    const KAFKA_MESSAGE_BYTES_MAX: usize = 990_000;
    let id = "i".repeat(63);
    let file = FileName::new(&"f".repeat(127)).unwrap();
    let tenant = TenantId::new(&id).unwrap();
    let event = EventId::new(&id).unwrap();
    let queue = QueueId::new(&id).unwrap();
    let route = Route {
        event: event.clone(),
        queue: queue.clone(),
        schema: Some(SchemaPin {
            subject: jobico_event::name::subject(&tenant, &file),
            version: u32::MAX,
            id: u32::MAX,
        }),
        function: FunctionPin {
            runtime: RuntimeId::new(&id).unwrap(),
            name: file,
            digest: Digest::of(b""),
            main: "\"".repeat(jobico_event::contract::EXPORT_NAME_BYTES_MAX),
        },
        ok: Some(event.clone()),
        error: Some(event),
        key: Some("\"".repeat(KEY_BYTES_MAX)),
        timeout_ms: Some(u32::MAX),
    };
    let document = Document::Job(JobVersion {
        tenant,
        job: JobId::new(&id).unwrap(),
        version: u32::MAX,
        replaces: Some(u32::MAX),
        name: Some("\"".repeat(job::NAME_BYTES_MAX)),
        deployed_at: "2026-01-01T00:00:00.000000000Z".to_owned(),
        queues: vec![Queue { queue, pool: id, pools: Vec::new(), partitions: Some(u32::MAX) }; QUEUES_MAX],
        routes: vec![route; EVENTS_MAX],
        retry: jobico_event::retry::Retry::default(),
        // A line break, a quotation mark or a tab takes two bytes in JSON, and nothing that a job file may hold takes more.
        source: "\n".repeat(FILE_BYTES_MAX),
    });
    let bytes = document.to_json().len();
    assert!(bytes < KAFKA_MESSAGE_BYTES_MAX, "{bytes} bytes");
}
