//! The one writer of the control plane's topics: a transactional id, and nothing else.

use super::producer::TransactionalProducer;
use super::settings::Settings;
use crate::{Cause, Class, Error, Outgoing, Writer};

/// See [`crate::Broker::writer`].
pub(super) struct KafkaWriter {
    settings: Settings,
    transactional_id: String,
    producer: Option<TransactionalProducer>,
}

impl KafkaWriter {
    /// A writer that holds nothing yet.
    pub(super) fn new(settings: Settings, transactional_id: &str) -> Self {
        Self { settings, transactional_id: transactional_id.to_owned(), producer: None }
    }
}

impl Writer for KafkaWriter {
    fn acquire(&mut self) -> Result<(), Error> {
        // An epoch is for ever: who was fenced gets in again only as a new producer.
        self.producer = None;
        let client_id = &self.transactional_id;
        self.producer = Some(TransactionalProducer::acquire(&self.settings, client_id, &self.transactional_id)?);
        Ok(())
    }

    fn write(&mut self, records: &[Outgoing<'_>]) -> Result<(), Error> {
        let Some(producer) = &mut self.producer else {
            let message = "this writer holds nothing: acquire first";
            return Err(Error::new(Class::Fatal, Cause::Fenced, "write", message));
        };
        let Err(error) = transact(producer, records) else { return Ok(()) };
        // Where it is aborted, or was never begun, nothing was written, and the next write may go well.
        let ended = if error.class == Class::Fatal { Err(error.clone()) } else { producer.abort() };
        if ended.is_ok() {
            return Err(error);
        }
        self.producer = None;
        Err(Error { class: Class::Fatal, ..error })
    }
}

fn transact(producer: &mut TransactionalProducer, records: &[Outgoing<'_>]) -> Result<(), Error> {
    producer.begin()?;
    for record in records {
        producer.produce(record)?;
    }
    producer.drain()?;
    producer.commit()
}
