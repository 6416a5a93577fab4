//! The one writer of the control plane's topics.

use std::sync::Arc;

use super::Log;
use super::records::Records;
use super::request::Holder;
use crate::{Cause, Class, Error, Outgoing, Writer};

/// See [`Writer`].
pub(super) struct LocalWriter {
    log: Arc<Log>,
    transactional_id: String,
    holder: Option<Holder>,
}

impl LocalWriter {
    pub(super) fn new(log: Arc<Log>, transactional_id: &str) -> Self {
        Self { log, transactional_id: transactional_id.to_owned(), holder: None }
    }
}

impl Writer for LocalWriter {
    fn acquire(&mut self) -> Result<(), Error> {
        self.holder = Some(self.log.acquire(&self.transactional_id)?);
        Ok(())
    }

    fn write(&mut self, records: &[Outgoing<'_>]) -> Result<(), Error> {
        const OPERATION: &str = "write";
        let Some(holder) = &self.holder else {
            return Err(Error::new(Class::Fatal, Cause::Fenced, OPERATION, "this writer holds nothing: acquire first"));
        };
        holder.check(OPERATION)?;
        let mut taken = Records::default();
        for record in records {
            let topic = self.log.core.topic(OPERATION, record.topic)?;
            taken.push(OPERATION, &topic, record.key, record.value, record.headers.iter().copied())?;
        }
        self.log.write(OPERATION, holder, taken, None).map(drop)
    }
}
