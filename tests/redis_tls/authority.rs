//! Who vouches for servers, and what a server shows.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use crate::support_redis::Directory;

/// An authority of one test, with the files that it has made.
#[derive(Debug)]
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    files: Directory,
}

/// A certificate and its key, as text and as files.
#[derive(Debug)]
pub(crate) struct Proof {
    pub(crate) certificate: String,
    pub(crate) key: String,
    certificate_file: PathBuf,
    key_file: PathBuf,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let name = &mut params.distinguished_name;
        name.push(DnType::CommonName, "an authority of tests");
        let key = KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::self_signed(params, key).unwrap();
        let files = Directory::new();
        fs::write(files.path().join("authority.pem"), issuer.pem()).unwrap();
        Self { issuer, files }
    }

    /// Its certificate, as text.
    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// The same as a file.
    pub(crate) fn file(&self) -> PathBuf {
        self.files.path().join("authority.pem")
    }

    /// Vouches for a name or an address.
    pub(crate) fn vouch_for(&self, name: &str) -> Proof {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        let key = key.serialize_pem();
        let file = |kind: &str| self.files.path().join(format!("{name}.{kind}"));
        let (certificate_file, key_file) = (file("crt"), file("key"));
        fs::write(&certificate_file, &certificate).unwrap();
        fs::write(&key_file, &key).unwrap();
        Proof {
            certificate,
            key,
            certificate_file,
            key_file,
        }
    }

    /// The flags of a server that shows a certificate on a port.
    pub(crate) fn flags(&self, port: u16, proof: &Proof) -> String {
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        format!(
            "--tls-port {port} --tls-cert-file {} --tls-key-file {} --tls-ca-cert-file {}",
            text(&proof.certificate_file),
            text(&proof.key_file),
            text(&self.file()),
        )
    }
}
