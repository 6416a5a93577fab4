//! Query parameters: all that is wrong with them is said at once, by name.

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use jobico_event::PoolId;
use jobico_event::dead_letter::{Stage, State};
use jobico_service::Problem;
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::dead::page;
use crate::dead::settle::{self, Again};
use crate::duration;
use crate::row::{level_named, now_ms};
use crate::store::cursor::{self, List};
use crate::store::{LogFilter, PageRequest, ResultFilter};

/// Rows in a page that says nothing.
const LIMIT_DEFAULT: usize = 100;
/// Rows in a page, at most.
const LIMIT_MAX: usize = 1000;

/// The parameters that choose dead letters.
const DEAD_FILTERS: &[&str] = &["job", "stage", "code", "since", "until"];

/// Which dead letters to redrive or to drop.
#[derive(Debug)]
pub struct Settling {
    /// Which.
    pub filter: page::Filter,
    /// How many at most.
    pub letters: usize,
    /// Where it goes on.
    pub cursor: Option<page::Cursor>,
    /// Whether those of which something became already are settled again.
    pub again: Again,
}

/// What is wrong with one parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Its name.
    pub parameter: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// The parameters of a request, as they came.
#[derive(Debug)]
pub struct Query(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let pairs = axum::extract::Query::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        let pairs = pairs.map_err(|error| Problem::new(StatusCode::BAD_REQUEST, error.body_text()))?;
        Ok(Self(pairs.0))
    }
}

/// The answer to a request with faults.
#[must_use]
pub fn refuse(faults: Vec<Fault>) -> Problem {
    let said: Vec<String> = faults.iter().map(|fault| format!("{}: {}", fault.parameter, fault.message)).collect();
    Problem::new(StatusCode::BAD_REQUEST, said.join("; ")).with("errors", faults)
}

impl Query {
    /// The page alone, of a list that takes `others` too.
    ///
    /// # Errors
    /// 400, naming each parameter that is wrong.
    pub fn page(self, list: List, others: &[&str]) -> Result<PageRequest, Problem> {
        let mut read = Read::new(self, &[&["limit", "cursor"], others].concat());
        let page = read.page(list);
        read.end(page)
    }

    /// The filter and page of a list of results.
    ///
    /// # Errors
    /// 400, naming each parameter that is wrong.
    pub fn results(self) -> Result<(ResultFilter, PageRequest), Problem> {
        let mut read = Read::new(self, &["job", "status", "since", "limit", "cursor"]);
        let since_ms = read.time("since", now_ms());
        let filter = ResultFilter { job: read.parsed("job"), status: read.parsed("status"), since_ms };
        let page = read.page(List::Results);
        read.end((filter, page))
    }

    /// The filter of a stream of results.
    ///
    /// # Errors
    /// 400, naming each parameter that is wrong.
    pub fn result_stream(self) -> Result<ResultFilter, Problem> {
        let mut read = Read::new(self, &["job", "status"]);
        let filter = ResultFilter { job: read.parsed("job"), status: read.parsed("status"), since_ms: None };
        read.end(filter)
    }

    /// The pool that is asked for, if one is.
    ///
    /// # Errors
    /// 400, naming each parameter that is wrong.
    pub fn pool(self) -> Result<Option<String>, Problem> {
        let mut read = Read::new(self, &["pool"]);
        let pool: Option<PoolId> = read.parsed("pool");
        read.end(pool.map(|pool| pool.to_string()))
    }

    /// Nothing at all.
    ///
    /// # Errors
    /// 400, naming each parameter that is given.
    pub fn nothing(self) -> Result<(), Problem> {
        Read::new(self, &[]).end(())
    }

    /// Whether what was done before is done again.
    ///
    /// # Errors
    /// 400, naming each parameter that is wrong.
    pub fn force(self) -> Result<Again, Problem> {
        let mut read = Read::new(self, &["force"]);
        let again = read.again();
        read.end(again)
    }

    /// The filter of a list of dead letters, how many of them, and where it goes on.
    ///
    /// # Errors
    /// 400, naming each parameter that is wrong.
    pub fn dead(self) -> Result<(page::Filter, usize, Option<page::Cursor>), Problem> {
        let mut read = Read::new(self, &[DEAD_FILTERS, &["state", "limit", "cursor"]].concat());
        let state = match read.value("state").as_deref() {
            None => Some(State::Open),
            Some("all") => None,
            Some(_) => read.parsed("state"),
        };
        let filter = page::Filter { state, ..read.dead_filter() };
        let (limit, cursor) = (read.limit(LIMIT_DEFAULT, LIMIT_MAX), read.parsed("cursor"));
        read.end((filter, limit, cursor))
    }

    /// Which dead letters to redrive or to drop.
    ///
    /// # Errors
    /// 400, naming each parameter that is wrong.
    pub fn settling(self) -> Result<Settling, Problem> {
        let mut read = Read::new(self, &[DEAD_FILTERS, &["force", "limit", "cursor"]].concat());
        let again = read.again();
        let state = (again == Again::Refuse).then_some(State::Open);
        let filter = page::Filter { state, ..read.dead_filter() };
        let letters = read.limit(settle::LETTERS_MAX, settle::LETTERS_MAX);
        let cursor = read.parsed("cursor");
        read.end(Settling { filter, letters, cursor, again })
    }

    /// The filter and page of a list of logged lines.
    ///
    /// # Errors
    /// 400, naming each parameter that is wrong.
    pub fn logs(self) -> Result<(LogFilter, PageRequest), Problem> {
        let mut read = Read::new(self, &["job", "level", "since", "limit", "cursor"]);
        let since_ms = read.time("since", now_ms());
        let filter = LogFilter { job: read.parsed("job"), level: read.level(), since_ms };
        let page = read.page(List::Logs);
        read.end((filter, page))
    }

    /// The filter of a stream of logged lines.
    ///
    /// # Errors
    /// 400, naming each parameter that is wrong.
    pub fn log_stream(self) -> Result<LogFilter, Problem> {
        let mut read = Read::new(self, &["job", "level"]);
        let filter = LogFilter { job: read.parsed("job"), level: read.level(), since_ms: None };
        read.end(filter)
    }
}

/// Parameters being read, and what was wrong so far.
struct Read {
    pairs: Vec<(String, String)>,
    faults: Vec<Fault>,
}

impl Read {
    fn new(query: Query, known: &[&str]) -> Self {
        let mut read = Self { pairs: query.0, faults: Vec::new() };
        for index in 0..read.pairs.len() {
            let name = read.pairs[index].0.clone();
            if !known.contains(&name.as_str()) {
                read.fault(&name, format!("there is no such parameter; there are {}", known.join(", ")));
            } else if read.pairs[..index].iter().any(|(earlier, _)| *earlier == name) {
                read.fault(&name, "it is given more than once".to_owned());
            }
        }
        read
    }

    fn fault(&mut self, parameter: &str, message: String) {
        self.faults.push(Fault { parameter: parameter.to_owned(), message });
    }

    fn value(&self, name: &str) -> Option<String> {
        self.pairs.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone())
    }

    /// A parameter that is parsed by its type.
    fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(&mut self, name: &str) -> Option<T> {
        let value = self.value(name)?;
        value.parse().map_err(|error: T::Err| self.fault(name, error.to_string())).ok()
    }

    fn level(&mut self) -> Option<jobico_event::function_log::Level> {
        let value = self.value("level")?;
        let level = level_named(&value);
        if level.is_none() {
            let message = format!("'{value}' is no level; debug, info, warning, error, fatal, panic and none are");
            self.fault("level", message);
        }
        level
    }

    /// A time, or how long ago, in milliseconds since 1970.
    fn time(&mut self, name: &str, now_ms: i64) -> Option<i64> {
        let value = self.value(name)?;
        if let Ok(ago) = duration::parse(&value) {
            let ago_ms = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX);
            return Some(now_ms.saturating_sub(ago_ms).max(0));
        }
        // A '+' that was not percent-encoded arrives as a space.
        match OffsetDateTime::parse(&value.replace(' ', "+"), &Rfc3339) {
            Ok(at) => Some(i64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or(0).max(0)),
            Err(_) => {
                let message =
                    format!("'{value}' is neither a time such as 2026-01-31T12:00:00Z (RFC 3339) nor one such as 15m");
                self.fault(name, message);
                None
            }
        }
    }

    fn page(&mut self, list: List) -> PageRequest {
        let mut page = PageRequest { limit: self.limit(LIMIT_DEFAULT, LIMIT_MAX), after: None };
        if let Some(value) = self.value("cursor") {
            match cursor::decode(list, &value) {
                Ok(key) => page.after = Some(key),
                Err(error) => self.fault("cursor", error.to_string()),
            }
        }
        page
    }

    fn limit(&mut self, default: usize, max: usize) -> usize {
        let Some(value) = self.value("limit") else { return default };
        match value.parse() {
            Ok(limit) if (1..=max).contains(&limit) => limit,
            _ => {
                self.fault("limit", format!("'{value}' is no number from 1 to {max}"));
                default
            }
        }
    }

    fn dead_filter(&mut self) -> page::Filter {
        let now_ms = now_ms();
        page::Filter {
            job: self.parsed("job"),
            stage: self.stage(),
            code: self.value("code"),
            since_ms: self.time("since", now_ms),
            until_ms: self.time("until", now_ms),
            state: None,
        }
    }

    fn stage(&mut self) -> Option<String> {
        let value = self.value("stage")?;
        if !Stage::ALL.iter().any(|stage| stage.as_str() == value) {
            let known: Vec<&str> = Stage::ALL.iter().map(|stage| stage.as_str()).collect();
            self.fault("stage", format!("'{value}' is no stage; there are {}", known.join(", ")));
        }
        Some(value)
    }

    fn again(&mut self) -> Again {
        if self.parsed("force").unwrap_or(false) { Again::Force } else { Again::Refuse }
    }

    fn end<T>(self, read: T) -> Result<T, Problem> {
        if self.faults.is_empty() { Ok(read) } else { Err(refuse(self.faults)) }
    }
}

#[cfg(test)]
mod tests {
    use jobico_event::result::Status;

    use super::*;

    fn query(pairs: &[(&str, &str)]) -> Query {
        Query(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn what_is_not_said_has_defaults() {
        let (filter, page) = query(&[]).results().unwrap();
        assert_eq!((filter, page), (ResultFilter::default(), PageRequest { limit: 100, after: None }));
    }

    #[test]
    fn filters_are_read() {
        let given = [("job", "j"), ("status", "error"), ("since", "2026-11-24T10:58:39.413Z"), ("limit", "1000")];
        let (filter, page) = query(&given).results().unwrap();
        assert_eq!(filter.status, Some(Status::Error));
        assert_eq!((filter.since_ms, page.limit), (Some(1_795_517_919_413), 1000));
        let mut ago = Read::new(query(&[("since", "15m")]), &["since"]);
        assert_eq!(ago.time("since", 1_000_000), Some(100_000));
        let mut zone = Read::new(query(&[("since", "1970-01-01T01:00:01 01:00")]), &["since"]);
        assert_eq!(zone.time("since", 0), Some(1_000));
    }

    #[test]
    fn everything_that_is_wrong_is_named_at_once() {
        let bad = [
            ("job", "a.b"),
            ("status", "fine"),
            ("since", "soon"),
            ("limit", "0"),
            ("cursor", "x"),
            ("colour", "red"),
            ("limit", "5"),
        ];
        let problem = query(&bad).results().unwrap_err();
        assert_eq!(problem.status, 400);
        let errors = problem.members["errors"].as_array().unwrap();
        let mut named: Vec<&str> = errors.iter().map(|error| error["parameter"].as_str().unwrap()).collect();
        named.sort_unstable();
        assert_eq!(named, ["colour", "cursor", "job", "limit", "limit", "since", "status"]);
        assert!(query(&[("level", "loud")]).logs().is_err());
        assert!(query(&[("since", "1h")]).log_stream().is_err());
    }
}
