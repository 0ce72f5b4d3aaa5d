//! TLS: certificates and keys as they are in files, made into what connections begin with.

use std::{path::Path, sync::Arc};

use tokio_rustls::rustls::{
    Error, RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};

use crate::{exit::Fatal, settings::Tls};

/// Reads what `settings` name.
///
/// # Errors
/// A file that cannot be read, that has no certificate or key, or a key that is not the certificate's.
pub fn load(settings: &Tls) -> Result<Arc<ServerConfig>, Fatal> {
    let certificates = certificates(&settings.certfile, "certfile")?;
    let (key_file, setting) = match &settings.keyfile {
        Some(file) => (file, "keyfile"),
        // As Python's ssl: without a file of its own the key is beside the certificate.
        None => (&settings.certfile, "certfile"),
    };
    let key = PrivateKeyDer::from_pem_file(key_file).map_err(|error| match fs_err::read(key_file) {
        // PKCS #8 says it in its first line, OpenSSL's own form in a line of its head.
        Ok(text) if memchr::memmem::find(&text, b"ENCRYPTED").is_some() => Fatal::new(format!(
            "The private key in {} ({setting}) is encrypted, and there is nobody to ask for its password. Decrypt it \
             (openssl pkey -in KEY -out PLAIN), and let only the server read it.",
            key_file.display()
        )),
        _ => refuse("private key", key_file, setting, &error),
    })?;
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| Fatal::new(format!("TLS cannot be set up: {error}.")))?;
    let builder = match verifier(settings, provider)? {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(certificates, key).map_err(|error| {
        let (key, certificate) = (key_file.display(), settings.certfile.display());
        Fatal::new(match error {
            Error::InvalidCertificate(_) => format!(
                "The certificate in {certificate} (certfile) cannot be used: {error}. It must be one of X.509 \
                 version 3, which browsers want too."
            ),
            Error::General(reason) => format!(
                "The private key in {key} ({setting}) cannot be used: {reason}. It must be RSA of 2048 bits or more, \
                 ECDSA of P-256 or P-384, or Ed25519."
            ),
            error => format!(
                "The private key in {key} ({setting}) does not go with the certificate in {certificate}: {error}."
            ),
        })
    })?;
    // A server of HTTP/1 alone has nothing to choose, and says nothing, as gunicorn's.
    if settings.http_protocols.iter().any(|protocol| protocol == "h2") {
        let names = settings.http_protocols.iter();
        config.alpn_protocols =
            names.map(|name| if name == "h2" { b"h2".to_vec() } else { b"http/1.1".to_vec() }).collect();
    }
    Ok(Arc::new(config))
}

/// Who looks at the certificates of clients, where any are asked for.
fn verifier(
    settings: &Tls,
    provider: Arc<tokio_rustls::rustls::crypto::CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, Fatal> {
    if settings.cert_reqs == 0 {
        return Ok(None);
    }
    let Some(file) = &settings.ca_certs else {
        return Err(Fatal::new(
            "--cert-reqs asks clients for certificates. Name those that vouch for them with --ca-certs.",
        ));
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file, "ca_certs")? {
        roots.add(certificate).map_err(|error| refuse("certificate", file, "ca_certs", &error))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = if settings.cert_reqs == 1 { builder.allow_unauthenticated() } else { builder };
    let verifier = builder.build().map_err(|error| refuse("certificate", file, "ca_certs", &error))?;
    Ok(Some(verifier))
}

fn certificates(file: &Path, setting: &str) -> Result<Vec<CertificateDer<'static>>, Fatal> {
    let certificates: Vec<_> = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|error| refuse("certificate", file, setting, &error))?;
    if certificates.is_empty() {
        return Err(refuse("certificate", file, setting, &"there is none in it"));
    }
    Ok(certificates)
}

fn refuse(what: &str, file: &Path, setting: &str, error: &dyn std::fmt::Display) -> Fatal {
    Fatal::new(format!("The {what} in {} ({setting}) cannot be used: {error}. Is it PEM?", file.display()))
}
