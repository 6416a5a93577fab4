//! A writer that meets faults.

use std::sync::Arc;

use super::faults::Dice;
use super::no_answer;
use crate::local::Log;
use crate::{Cause, Class, Error, Outgoing, Writer};

pub(super) struct FaultyWriter {
    log: Arc<Log>,
    inner: Box<dyn Writer>,
    transactional_id: String,
    dice: Dice,
    /// Why nothing is written before it is acquired again.
    dead: Option<Error>,
}

impl FaultyWriter {
    pub(super) fn new(log: Arc<Log>, inner: Box<dyn Writer>, transactional_id: &str, dice: Dice) -> Self {
        Self { log, inner, transactional_id: transactional_id.to_owned(), dice, dead: None }
    }

    fn try_write(&mut self, records: &[Outgoing<'_>]) -> Result<(), Error> {
        const OPERATION: &str = "write";
        if let Some(error) = &self.dead {
            return Err(error.clone());
        }
        self.dice.unavailable(OPERATION)?;
        if self.dice.falls(|faults| faults.fenced) {
            self.log.fence(&self.transactional_id)?;
        }
        if self.dice.falls(|faults| faults.in_doubt) {
            if self.dice.coin() {
                self.inner.write(records)?;
            }
            return Err(no_answer(OPERATION, Class::Fatal));
        }
        if self.dice.falls(|faults| faults.abortable) {
            let message = "simulated: refused, and it is not said why";
            return Err(Error::new(Class::Abortable, Cause::Other, OPERATION, message));
        }
        self.inner.write(records)
    }
}

impl Writer for FaultyWriter {
    fn acquire(&mut self) -> Result<(), Error> {
        self.dice.unavailable("acquire the transactional id")?;
        self.inner.acquire()?;
        self.dead = None;
        Ok(())
    }

    fn write(&mut self, records: &[Outgoing<'_>]) -> Result<(), Error> {
        let written = self.try_write(records);
        if let Err(error) = &written
            && error.class == Class::Fatal
        {
            self.dead = Some(error.clone());
        }
        written
    }
}
