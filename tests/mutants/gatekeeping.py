"""Sabotage of the gate: the verifier, certificates, decoding."""

from __future__ import annotations

from tests.mutants.mutant import Mutant, change, unit

VERIFIER = "consensus/verifier.py"
CERTIFICATE = "ledger/certificate.py"
MESSAGES = "consensus/messages.py"

IN_VERIFIER = unit("consensus/test_verifier.py")
IN_MESSAGES = unit("consensus/test_messages.py")
IN_CERTIFICATES = unit("consensus/test_verifier.py", "ledger/test_validators.py")

GATEKEEPING: list[Mutant] = [
    change(
        "a message of another epoch is heard",
        VERIFIER,
        "if envelope.epoch != self._domain.epoch:",
        "if False:",
        IN_VERIFIER,
    ),
    change(
        "the Certificate of another epoch is accepted",
        VERIFIER,
        "        if certificate.epoch != self._domain.epoch:\n",
        "        if False:\n",
        IN_VERIFIER,
    ),
    change(
        "anyone proposes",
        VERIFIER,
        "            if signer != self._domain.validators.primary(message.view):\n"
        '                raise MessageRefused(signer, f"not the primary of view {message.view}")\n',
        "            pass\n",
        IN_VERIFIER,
    ),
    change(
        "a primary's PREPARE counts beside its PRE-PREPARE",
        VERIFIER,
        "            if signer == self._domain.validators.primary(message.view):\n",
        "            if False:\n",
        IN_VERIFIER,
    ),
    change(
        "the Certificate inside a VIEW-CHANGE is not verified",
        VERIFIER,
        "            self.certificate(change.certificate)\n",
        "            pass\n",
        IN_VERIFIER,
    ),
    change(
        "a VIEW-CHANGE shows the Certificate of another header",
        VERIFIER,
        "            if named != (change.stable_n, change.stable_hash):\n",
        "            if False:\n",
        IN_VERIFIER,
    ),
    change(
        "a VIEW-CHANGE needs no Certificate",
        VERIFIER,
        "if (change.stable_n, change.stable_hash) != (domain.base, domain.base_hash):",
        "if False:",
        IN_VERIFIER,
    ),
    change(
        "the prepared certificates inside a VIEW-CHANGE are not verified",
        VERIFIER,
        "            self.prepared(signer, prepared)\n",
        "            pass\n",
        IN_VERIFIER,
    ),
    change(
        "only the first prepared certificate is verified",
        VERIFIER,
        "            self.prepared(signer, prepared)\n",
        "            self.prepared(signer, change.prepared[0])\n",
        IN_VERIFIER,
    ),
    change(
        "a prepared height beyond the window is accepted",
        VERIFIER,
        "if not change.stable_n < prepared.n <= change.stable_n + domain.window:",
        "if not change.stable_n < prepared.n:",
        IN_VERIFIER,
    ),
    change(
        "a certificate of the view that is changed to is accepted",
        VERIFIER,
        "if prepared.view >= change.view:",
        "if prepared.view > change.view:",
        IN_VERIFIER,
    ),
    change(
        "a prepared certificate of f+1 is accepted",
        VERIFIER,
        "if len(prepared.signatures) != domain.validators.quorum:",
        "if len(prepared.signatures) <= domain.validators.f:",
        IN_VERIFIER,
    ),
    change(
        "one nested signature is skipped",
        VERIFIER,
        "for voter, signature in prepared.signatures:",
        "for voter, signature in prepared.signatures[1:]:",
        IN_VERIFIER,
    ),
    change(
        "the VIEW-CHANGEs inside a NEW-VIEW are not verified",
        VERIFIER,
        "            self._signed(change)\n",
        "            pass\n",
        IN_VERIFIER,
    ),
    change(
        "a NEW-VIEW of f+1 is accepted",
        VERIFIER,
        "if len(new_view.view_changes) != domain.validators.quorum:",
        "if len(new_view.view_changes) <= domain.validators.f:",
        IN_VERIFIER,
    ),
    change(
        "a NEW-VIEW holds VIEW-CHANGEs of another view",
        VERIFIER,
        "            if change.message.view != new_view.view:\n",
        "            if False:\n",
        IN_VERIFIER,
    ),
    change(
        "the PRE-PREPAREs inside a NEW-VIEW are not verified",
        VERIFIER,
        "            if not self._valid(key, data, item.signature):\n",
        "            if False:\n",
        IN_VERIFIER,
    ),
    change(
        "a bad signature is remembered as good",
        VERIFIER,
        "        if not self._check(key, data, signature):\n            return False\n"
        "        self._verified[digest] = None\n",
        "        self._verified[digest] = None\n"
        "        if not self._check(key, data, signature):\n            return False\n",
        IN_VERIFIER,
    ),
    change(
        "verified signatures are remembered without their message",
        VERIFIER,
        "digest = sha256(key + signature + data)",
        "digest = sha256(key + signature)",
        IN_VERIFIER,
    ),
    change(
        "remembered signatures have no bound",
        VERIFIER,
        "        if len(self._verified) > VERIFIED_MAX:\n",
        "        if False:\n",
        IN_VERIFIER,
    ),
    change(
        "a Certificate of more than a quorum passes",
        CERTIFICATE,
        "if len(self.signatures) != validators.quorum:",
        "if len(self.signatures) < validators.quorum:",
        IN_CERTIFICATES,
    ),
    change(
        "a Certificate with a signer twice passes",
        CERTIFICATE,
        "if any(not before < after for before, after in pairwise(signers)):",
        "if False:",
        IN_CERTIFICATES,
    ),
    change(
        "a foreign signer of a Certificate is skipped",
        CERTIFICATE,
        '                raise CertificateInvalid(f"{signer} is not a validator")\n',
        "                continue\n",
        IN_CERTIFICATES,
    ),
    change(
        "a height twice in P is decoded",
        MESSAGES,
        '    _increasing([item.n for item in prepared], "view_change.prepared")\n',
        "",
        IN_MESSAGES,
    ),
    change(
        "a signer twice in a NEW-VIEW is decoded",
        MESSAGES,
        '    fields.ascending([change.signer for change in changes], "new_view.signers")\n',
        "",
        IN_MESSAGES,
    ),
    change(
        "a frame of any length is decoded",
        MESSAGES,
        "    if len(data) > MESSAGE_BYTES_MAX:\n",
        "    if False:\n",
        IN_MESSAGES,
    ),
    change(
        "the kind of a message is not signed",
        CERTIFICATE,
        "canonical.encode([chain_id, epoch, kind, *message_fields])",
        "canonical.encode([chain_id, epoch, *message_fields])",
        IN_MESSAGES,
    ),
    change(
        "the epoch is not signed",
        CERTIFICATE,
        "canonical.encode([chain_id, epoch, kind, *message_fields])",
        "canonical.encode([chain_id, kind, *message_fields])",
        IN_MESSAGES,
    ),
]
