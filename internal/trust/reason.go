package trust

// Reason says, in one word, why a token was refused. The zero Reason means it
// was not. Reasons are ours and stable; the numbers that clients see are made
// from them in package tokenapi.
type Reason string

// Reasons that concern the parties of a request.
const (
	TenantUnknown    Reason = "tenant-unknown"
	TenantMalformed  Reason = "tenant-malformed"
	TenantNotNamed   Reason = "tenant-not-named" // common, organizations, consumers
	ClientUnknown    Reason = "client-unknown"
	ClientDisabled   Reason = "client-disabled"
	PrincipalMissing Reason = "principal-missing" // the application is not provisioned in the tenant
)

// Reasons that concern the proof.
const (
	NoProof            Reason = "no-proof"
	SecretOffered      Reason = "secret-offered"
	ProofKindUnknown   Reason = "proof-kind-unknown" // client_assertion_type
	ProofMalformed     Reason = "proof-malformed"
	ProofKeyUnknown    Reason = "proof-key-unknown"
	ProofSignature     Reason = "proof-signature"
	ProofClaims        Reason = "proof-claims"
	ProofExpired       Reason = "proof-expired" // or not yet valid, or valid for too long
	CertificateUnknown Reason = "certificate-unknown"
	IssuerUnreachable  Reason = "issuer-unreachable"
)

// Reasons that Decide gives: the proof is good, but does not speak for this
// client.
const (
	NoCredentials      Reason = "no-credentials"
	IssuerMismatch     Reason = "issuer-mismatch"
	AudienceMismatch   Reason = "audience-mismatch"
	CredentialAudience Reason = "credential-audience" // the credential names something else than the exchange
	SubjectMismatch    Reason = "subject-mismatch"
	SubjectCase        Reason = "subject-case"
	TokenAudience      Reason = "token-audience" // our token, but made for another resource
	V1Issuer           Reason = "v1-issuer"
	ForeignCloud       Reason = "foreign-cloud"
	ForeignTenant      Reason = "foreign-tenant"
	DuplicateSubject   Reason = "duplicate-subject"
	NotAppOnly         Reason = "not-app-only"
	NotManagedIdentity Reason = "not-managed-identity"
	SystemIdentity     Reason = "system-assigned-identity"
	IdentityGone       Reason = "identity-gone"
	IdentityDisabled   Reason = "identity-disabled"
	FromFederation     Reason = "from-federation" // the proof was itself obtained through a federated credential
	ClientIsIdentity   Reason = "client-is-identity"
)

// Reasons that concern what the token may say.
const (
	ResourceUnknown  Reason = "resource-unknown"
	ResourceDisabled Reason = "resource-disabled"
	NotAssigned      Reason = "not-assigned"
)

// Reasons that concern which identity a host may use.
const (
	HostUnknown         Reason = "host-unknown"
	IdentityNotAssigned Reason = "identity-not-assigned"
	IdentityAmbiguous   Reason = "identity-ambiguous"
	IdentityNone        Reason = "identity-none"
)
