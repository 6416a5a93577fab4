//! TLS to the nodes: whom to trust, and who this process is. The only module that knows OpenSSL.
//!
//! What is verified of each node, with each connection: that an authority which is trusted signed its certificate, that it is
//! valid today and made for servers, and that it names, as a subjectAltName of type IP, the address that the node is
//! reached at. The driver sets that address, also where the contact point is a host name: the other nodes tell it addresses
//! and no names. Names in certificates are not looked at, and nobody is asked whether a certificate has been revoked.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{SslConnector, SslConnectorBuilder, SslMethod, SslVerifyMode, SslVersion};
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::{X509, X509NameRef, X509Ref, X509StoreContextRef};
use scylla::client::session::OpenSsl010Config;
use scylla::errors::{
    ConnectionError, ConnectionPoolError, ConnectionSetupRequestError, ConnectionSetupRequestErrorKind, MetadataError,
    NewSessionError,
};

use super::BoxError;
use crate::config::CqlTlsConfig;

const CA: &str = "--cql-tls-ca";
const CERT: &str = "--cql-tls-cert";
const KEY: &str = "--cql-tls-key";

// Verdicts of OpenSSL (x509_vfy.h), which the crate does not name: X509_V_ERR_…
/// …DEPTH_ZERO_SELF_SIGNED_CERT
const OWN_SIGNATURE: i32 = 18;
/// …SELF_SIGNED_CERT_IN_CHAIN
const OWN_SIGNATURE_IN_CHAIN: i32 = 19;
/// …UNABLE_TO_GET_ISSUER_CERT_LOCALLY
const UNKNOWN_AUTHORITY: i32 = 20;
/// …IP_ADDRESS_MISMATCH
const OTHER_ADDRESS: i32 = 64;

/// What connections are made with.
pub(super) struct Tls {
    context: OpenSsl010Config,
    refusal: Arc<Mutex<Option<String>>>,
}

impl Tls {
    /// None where the settings ask for none.
    ///
    /// # Errors
    /// What is wrong with the files.
    pub(super) fn new(config: &CqlTlsConfig) -> Result<Option<Self>, Faults> {
        if !config.on && config.ca.is_none() {
            return Ok(None);
        }
        let (trusted, identity) = (trusted(config), identity(config));
        let (trusted, identity) = match (trusted, identity) {
            (Ok(trusted), Ok(identity)) => (trusted, identity),
            (trusted, identity) => {
                let faults = [trusted.err().unwrap_or_default(), identity.err().unwrap_or_default()];
                return Err(Faults::Files(faults.concat()));
            }
        };
        let refusal = Arc::default();
        let builder = builder(trusted, identity, &refusal).map_err(Faults::OpenSsl)?;
        Ok(Some(Self { context: OpenSsl010Config::new(builder), refusal }))
    }

    /// For the driver.
    pub(super) fn context(&self) -> OpenSsl010Config {
        self.context.clone()
    }

    /// What speaks against the certificate that was seen last; none where it was accepted.
    pub(super) fn refusal(&self) -> Option<String> {
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Why there can be no TLS with these settings.
#[derive(Debug, thiserror::Error)]
pub enum Faults {
    /// What is wrong with the files.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Files(Vec<Fault>),
    /// OpenSSL does not take what stands in them.
    #[error("OpenSSL does not take the settings of TLS to the CQL store")]
    OpenSsl(#[source] ErrorStack),
}

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{flag} {}: {what}", path.display())]
pub struct Fault {
    /// The flag that names it.
    pub flag: &'static str,
    /// The file.
    pub path: PathBuf,
    /// What is wrong, and how to mend it.
    pub what: String,
}

fn fault(flag: &'static str, path: &Path, what: impl Into<String>) -> Fault {
    Fault { flag, path: path.to_owned(), what: what.into() }
}

fn read(flag: &'static str, path: &Path) -> Result<Vec<u8>, Fault> {
    let unreadable =
        |error| fault(flag, path, format!("cannot be read ({error}); it has to be a file for this process"));
    std::fs::read(path).map_err(unreadable)
}

fn certificates(flag: &'static str, path: &Path) -> Result<Vec<X509>, Fault> {
    let found = X509::stack_from_pem(&read(flag, path)?).map_err(|error| {
        fault(flag, path, format!("holds a damaged certificate ({}); copy the file again", reason(&error)))
    })?;
    if found.is_empty() {
        let what = "holds no certificate; it has to be PEM, with lines -----BEGIN CERTIFICATE-----";
        return Err(fault(flag, path, what));
    }
    Ok(found)
}

fn key(path: &Path) -> Result<PKey<Private>, Fault> {
    let pem = read(KEY, path)?;
    let mut asked = false;
    // Without this OpenSSL would ask on the terminal.
    let key = PKey::private_key_from_pem_callback(&pem, |_| {
        asked = true;
        Ok(0)
    });
    key.map_err(|error| {
        let what = if asked {
            "is protected by a passphrase; take that off (openssl pkey -in FILE -out FILE) and guard the file"
                .to_owned()
        } else {
            let reason = reason(&error);
            format!("holds no private key ({reason}); it has to be PEM, with a line -----BEGIN PRIVATE KEY-----")
        };
        fault(KEY, path, what)
    })
}

/// The authorities of the file; none = the system's.
fn trusted(config: &CqlTlsConfig) -> Result<Option<Vec<X509>>, Vec<Fault>> {
    config.ca.as_deref().map(|path| certificates(CA, path)).transpose().map_err(|fault| vec![fault])
}

/// Who this process is.
struct Identity {
    /// Its certificate, and those of authorities in between.
    chain: Vec<X509>,
    key: PKey<Private>,
}

fn identity(config: &CqlTlsConfig) -> Result<Option<Identity>, Vec<Fault>> {
    let (Some(cert_path), Some(key_path)) = (&config.cert, &config.key) else { return Ok(None) };
    match (certificates(CERT, cert_path), key(key_path)) {
        (Ok(chain), Ok(key)) => {
            let belongs = chain[0].public_key().is_ok_and(|public| public.public_eq(&key));
            if belongs {
                return Ok(Some(Identity { chain, key }));
            }
            let what = format!(
                "is not the key of the first certificate in {}; that has to be this process's own, before those of authorities",
                cert_path.display()
            );
            Err(vec![fault(KEY, key_path, what)])
        }
        (chain, key) => Err(chain.err().into_iter().chain(key.err()).collect()),
    }
}

/// A builder that verifies ([`SslConnector`]'s default) and notes why not.
fn builder(
    trusted: Option<Vec<X509>>,
    identity: Option<Identity>,
    refusal: &Arc<Mutex<Option<String>>>,
) -> Result<SslConnectorBuilder, ErrorStack> {
    // It trusts the system's authorities until it is told others.
    let mut builder = SslConnector::builder(SslMethod::tls_client())?;
    builder.set_min_proto_version(Some(SslVersion::TLS1_2))?;
    let from_file = trusted.is_some();
    if let Some(authorities) = trusted {
        let mut store = X509StoreBuilder::new()?;
        for authority in authorities {
            store.add_cert(authority)?;
        }
        builder.set_cert_store(store.build());
    }
    if let Some(Identity { chain, key }) = identity {
        let mut chain = chain.into_iter();
        if let Some(own) = chain.next() {
            builder.set_certificate(&own)?;
        }
        for authority in chain {
            builder.add_extra_chain_cert(authority)?;
        }
        builder.set_private_key(&key)?;
    }
    let refusal = refusal.clone();
    // OpenSSL's error says only that verification failed. This is told why, and leaves the verdict as it is.
    builder.set_verify_callback(SslVerifyMode::PEER, move |accepted, chain| {
        let why = (!accepted).then(|| why_refused(chain, from_file));
        *refusal.lock().unwrap_or_else(PoisonError::into_inner) = why;
        accepted
    });
    Ok(builder)
}

fn why_refused(chain: &X509StoreContextRef, from_file: bool) -> String {
    let verdict = chain.error();
    let of_whom = chain.current_cert().map(of_whom).unwrap_or_default();
    let mend = match verdict.as_raw() {
        OTHER_ADDRESS => "; it has to name the address that the node is reached at, as a subjectAltName of type IP",
        OWN_SIGNATURE | OWN_SIGNATURE_IN_CHAIN | UNKNOWN_AUTHORITY if from_file => {
            "; the file of --cql-tls-ca has to hold the authority that signed it"
        }
        OWN_SIGNATURE | OWN_SIGNATURE_IN_CHAIN | UNKNOWN_AUTHORITY => {
            "; this system does not trust its authority: name a file that holds it with --cql-tls-ca"
        }
        _ => "",
    };
    format!("a node's certificate{of_whom} is not accepted ({}){mend}", verdict.error_string())
}

/// ` (subject …, issuer …)`. It comes from whoever answers, hence the escapes.
fn of_whom(certificate: &X509Ref) -> String {
    let name = |name: &X509NameRef| {
        let part = |entry: &openssl::x509::X509NameEntryRef| {
            let kind = entry.object().nid().short_name().unwrap_or("?");
            let value = entry.data().to_string().map(|value| value.escape_debug().to_string());
            format!("{kind}={}", value.unwrap_or_default())
        };
        name.entries().map(part).collect::<Vec<_>>().join(",")
    };
    format!(" (subject {}, issuer {})", name(certificate.subject_name()), name(certificate.issuer_name()))
}

fn reason(error: &ErrorStack) -> String {
    let reason = error.errors().last().and_then(openssl::error::Error::reason);
    reason.unwrap_or("in an unknown format").to_owned()
}

/// An error, with what it comes from.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
struct Explained {
    why: String,
    #[source]
    source: BoxError,
}

/// Says `why` before an error.
pub(super) fn explain(why: String, source: BoxError) -> BoxError {
    Box::new(Explained { why, source })
}

/// Says what an error of the first connection comes from where the two sides do not agree on TLS.
pub(super) fn explain_connecting(error: NewSessionError, tls: Option<&Tls>) -> BoxError {
    let NewSessionError::MetadataError(MetadataError::ConnectionPoolError(ConnectionPoolError::Broken {
        last_connection_error: last,
    })) = &error
    else {
        return error.into();
    };
    let why = match (last, tls) {
        (ConnectionError::IoError(io), Some(_)) if speaks_no_tls(io) => {
            "a node answers without TLS; turn it on there (client_encryption_options), or leave --cql-tls-ca out"
        }
        (ConnectionError::ConnectionSetupRequestError(setup), tls) if broke_off(setup) => match tls {
            None => {
                "a node broke off before it said anything; one that wants TLS does so: name its authority with --cql-tls-ca"
            }
            Some(_) => "a node broke off within TLS; one that wants a certificate, or another, does so: --cql-tls-cert",
        },
        _ => return error.into(),
    };
    explain(why.to_owned(), error.into())
}

fn speaks_no_tls(error: &std::io::Error) -> bool {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<openssl::ssl::Error>());
    let stack = tls.and_then(openssl::ssl::Error::ssl_error);
    // What OpenSSL says of a first answer that is no TLS record.
    stack.is_some_and(|stack| stack.errors().iter().any(|error| error.reason() == Some("wrong version number")))
}

fn broke_off(error: &ConnectionSetupRequestError) -> bool {
    matches!(error.error, ConnectionSetupRequestErrorKind::BrokenConnection(_))
}
