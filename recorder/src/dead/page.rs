//! Pages of a topic of dead letters: read from where the page before ended, up to where the topic ended when the first one was
//! asked for. So a listing ends, also one that redrives letters which fail again at once.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jobico_broker::{Batch, Broker, Error, GatherLimits, Lag, Positions, Record, TopicPartition};
use jobico_event::JobId;
use jobico_event::dead_letter::{State, View};

use super::letter::{self, Letter};
use super::marks::OfTopic;

/// Letters that one request looks at; its page may hold fewer, and none.
pub const SCANNED_MAX: usize = 10_000;
/// Read in one go.
const READ: GatherLimits = GatherLimits { records_max: 1_000, bytes_max: 16 << 20 };
/// One letter alone.
const ONE: GatherLimits = GatherLimits { records_max: 1, bytes_max: 1 };
/// The form of cursors; one of another form is refused, not misread.
const VERSION: &str = "1:dead";
/// Partitions in a cursor: more than a topic of dead letters may be made with.
const PARTITIONS_MAX: usize = 1_000;

/// Which letters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this job.
    pub job: Option<JobId>,
    /// That failed at this stage.
    pub stage: Option<String>,
    /// That failed with this code.
    pub code: Option<String>,
    /// Not older than this, milliseconds since 1970.
    pub since_ms: Option<i64>,
    /// Not younger than this, milliseconds since 1970.
    pub until_ms: Option<i64>,
    /// Of which this became; none = whatever.
    pub state: Option<State>,
}

/// How much a page holds.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Letters.
    pub letters: usize,
    /// Bytes of their events; one letter may exceed it.
    pub bytes: usize,
    /// Whether the events go along, or only what lists show.
    pub whole: bool,
}

/// A page.
#[derive(Debug, Default)]
pub struct Page {
    /// What lists show.
    pub views: Vec<View>,
    /// The letters in full, where they were asked for.
    pub letters: Vec<Letter>,
    /// Where the next page begins.
    pub next: Option<Cursor>,
}

/// A place in a listing: of each partition the next offset to look at, and where the listing ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(Vec<Span>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Span {
    partition: i32,
    next: i64,
    end: i64,
}

/// A text that is no cursor of a listing of dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no cursor of this list; take it from 'next' of the page before, unchanged")]
pub struct NoCursor;

impl Cursor {
    /// All that partitions have now.
    #[must_use]
    pub fn whole(partitions: Vec<Lag>) -> Self {
        let span = |lag: Lag| Span { partition: lag.partition.partition, next: 0, end: lag.end };
        Self(partitions.into_iter().map(span).collect())
    }

    /// Whether an offset is within it.
    #[must_use]
    pub fn has(&self, at: &TopicPartition, offset: i64) -> bool {
        self.0.iter().any(|span| span.partition == at.partition && offset < span.end)
    }

    fn positions(&self, topic: &str) -> Positions {
        let at = |span: &Span| (TopicPartition { topic: topic.into(), partition: span.partition }, span.next);
        self.0.iter().filter(|span| span.next < span.end).map(at).collect()
    }

    /// Whether a record is still to be looked at; if so, it is passed.
    fn pass(&mut self, record: &Record<'_>) -> bool {
        let span = self.0.iter_mut().find(|span| span.partition == record.partition());
        span.is_some_and(|span| {
            span.next = span.next.max(record.offset() + 1);
            record.offset() < span.end
        })
    }

    /// Passes what was read, markers of transactions as well.
    fn move_to(&mut self, read: &Positions) {
        for (at, next) in read {
            if let Some(span) = self.0.iter_mut().find(|span| span.partition == at.partition) {
                span.next = span.next.max(*next);
            }
        }
    }

    fn is_done(&self) -> bool {
        self.0.iter().all(|span| span.next >= span.end)
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = VERSION.to_owned();
        for Span { partition, next, end } in &self.0 {
            text.push_str(&format!(":{partition},{next},{end}"));
        }
        f.write_str(&URL_SAFE_NO_PAD.encode(text))
    }
}

impl std::str::FromStr for Cursor {
    type Err = NoCursor;

    fn from_str(text: &str) -> Result<Self, NoCursor> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| NoCursor)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| NoCursor)?;
        let spans = text.strip_prefix(VERSION).and_then(|rest| rest.strip_prefix(':')).ok_or(NoCursor)?;
        let span = |text: &str| {
            let mut numbers = text.splitn(3, ',');
            let mut number = || numbers.next()?.parse::<i64>().ok().filter(|number| *number >= 0);
            Some(Span { partition: number()?.try_into().ok()?, next: number()?, end: number()? })
        };
        let spans = spans.split(':').take(PARTITIONS_MAX + 1).map(span).collect::<Option<Vec<_>>>().ok_or(NoCursor)?;
        if spans.len() > PARTITIONS_MAX { Err(NoCursor) } else { Ok(Self(spans)) }
    }
}

impl Filter {
    /// Whether a letter is wanted that was written at `at_ms`.
    #[must_use]
    pub fn takes(&self, view: &View, at_ms: i64) -> bool {
        let is = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
        self.job.as_ref().is_none_or(|job| view.job.as_deref() == Some(job.as_str()))
            && is(&self.stage, &view.stage)
            && is(&self.code, &view.code)
            && self.since_ms.is_none_or(|since| at_ms >= since)
            && self.until_ms.is_none_or(|until| at_ms <= until)
            && self.state.is_none_or(|state| view.state == state)
    }
}

/// Reads a page.
///
/// # Errors
/// The log's.
pub fn read(
    broker: &dyn Broker,
    topic: &str,
    marks: &OfTopic,
    filter: &Filter,
    limits: &Limits,
    mut cursor: Cursor,
) -> Result<Page, Error> {
    let mut page = Page::default();
    if cursor.is_done() {
        return Ok(page);
    }
    let mut follower = broker.follow_from(&cursor.positions(topic))?;
    let (mut batch, mut scanned, mut bytes) = (Batch::new(), 0, 0);
    loop {
        let progress = follower.read_some(&mut batch, &READ)?;
        for record in batch.iter() {
            if page.views.len() >= limits.letters || bytes >= limits.bytes || scanned >= SCANNED_MAX {
                page.next = Some(cursor);
                return Ok(page);
            }
            if !cursor.pass(&record) {
                continue;
            }
            scanned += 1;
            let view = letter::marked(letter::view(&record), marks.get(&letter::place(&record)));
            if !filter.takes(&view, record.timestamp_ms()) {
                continue;
            }
            if limits.whole {
                let letter = Letter::read(&record).marked(marks.get(&view.id));
                bytes += letter.bytes();
                page.letters.push(letter);
            }
            page.views.push(view);
        }
        cursor.move_to(&progress.next);
        if progress.is_end || cursor.is_done() {
            return Ok(page);
        }
    }
}

/// Reads one letter; none where there is none at this offset.
///
/// # Errors
/// The log's.
pub fn read_one(broker: &dyn Broker, at: TopicPartition, offset: i64) -> Result<Option<Letter>, Error> {
    let first = first(broker, at, offset)?;
    Ok(first.filter(|letter| letter.view.id.offset == offset))
}

/// The first letter at an offset or after it; none where there is none.
///
/// # Errors
/// The log's.
pub fn first(broker: &dyn Broker, at: TopicPartition, offset: i64) -> Result<Option<Letter>, Error> {
    let mut batch = Batch::new();
    broker.follow_from(&Positions::from([(at, offset)]))?.read_some(&mut batch, &ONE)?;
    Ok(batch.get(0).map(|record| Letter::read(&record)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_any_other_text_is_none() {
        let span = |partition, next, end| Span { partition, next, end };
        let cursor = Cursor(vec![span(0, 5, 9), span(3, 0, 0)]);
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let many = format!("1:dead{}", ":0,0,0".repeat(PARTITIONS_MAX + 1));
        for bad in ["", "1:dead", "1:dead:", "1:dead:0,0", "1:dead:0,0,x", "1:dead:0,-1,0", "2:dead:0,0,0", &many] {
            assert_eq!(encode(bad).parse::<Cursor>(), Err(NoCursor), "{bad}");
        }
        assert_eq!("!".parse::<Cursor>(), Err(NoCursor));
    }
}
