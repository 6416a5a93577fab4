//! A certificate authority of a test's own.

use std::path::{Path, PathBuf};

use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{SslAcceptor, SslMethod, SslVerifyMode};
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509Builder, X509Name};

/// An authority, or somebody whom one signed.
pub struct Signed {
    pub certificate: X509,
    pub key: PKey<Private>,
}

/// Makes a new authority.
pub fn authority(name: &str) -> Signed {
    let (mut builder, key) = begun(name);
    let subject = x509_name(name);
    builder.set_issuer_name(&subject).unwrap();
    builder.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
    builder.sign(&key, MessageDigest::sha256()).unwrap();
    Signed { certificate: builder.build(), key }
}

impl Signed {
    /// Signs a certificate for an IP address.
    pub fn sign(&self, name: &str, ip: &str) -> Self {
        let (mut builder, key) = begun(name);
        builder.set_issuer_name(self.certificate.subject_name()).unwrap();
        let context = builder.x509v3_context(Some(&self.certificate), None);
        let named = SubjectAlternativeName::new().ip(ip).dns("localhost").build(&context).unwrap();
        builder.append_extension(named).unwrap();
        builder.sign(&self.key, MessageDigest::sha256()).unwrap();
        Self { certificate: builder.build(), key }
    }

    /// What a server is with it that asks clients for certificates of `clients`' where that is given.
    pub fn acceptor(&self, clients: Option<&Self>) -> SslAcceptor {
        let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
        builder.set_certificate(&self.certificate).unwrap();
        builder.set_private_key(&self.key).unwrap();
        if let Some(authority) = clients {
            builder.cert_store_mut().add_cert(authority.certificate.clone()).unwrap();
            // Without it OpenSSL's server ends connections that resume a session in which a client was verified.
            builder.set_session_id_context(b"test").unwrap();
            builder.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
        }
        builder.build()
    }

    /// Writes the certificate to a folder.
    pub fn certificate_in(&self, folder: &Path, name: &str) -> PathBuf {
        file(folder, name, self.certificate.to_pem().unwrap())
    }

    /// Writes the key to a folder.
    pub fn key_in(&self, folder: &Path, name: &str) -> PathBuf {
        file(folder, name, self.key.private_key_to_pem_pkcs8().unwrap())
    }
}

/// Writes a file.
pub fn file(folder: &Path, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    path
}

fn begun(name: &str) -> (X509Builder, PKey<Private>) {
    let curve = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let key = PKey::from_ec_key(EcKey::generate(&curve).unwrap()).unwrap();
    let mut serial = BigNum::new().unwrap();
    serial.rand(64, MsbOption::MAYBE_ZERO, false).unwrap();
    let mut builder = X509Builder::new().unwrap();
    builder.set_version(2).unwrap();
    builder.set_serial_number(&serial.to_asn1_integer().unwrap()).unwrap();
    builder.set_subject_name(&x509_name(name)).unwrap();
    builder.set_pubkey(&key).unwrap();
    builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::days_from_now(1).unwrap()).unwrap();
    (builder, key)
}

fn x509_name(name: &str) -> X509Name {
    let mut builder = X509Name::builder().unwrap();
    builder.append_entry_by_text("CN", name).unwrap();
    builder.build()
}
