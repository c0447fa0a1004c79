"""Passkeys against the values that W3C prints: WebAuthn Level 3 section 16, editor's draft of 2026-07-30.

Most printed ceremonies have no verified payer: they are refused as printed, and accepted with that bit set.
"""

import base64
import dataclasses
import hashlib
import json

import cbor2
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from sca_service.authenticators.passkey.assertion import Assertion, BadAssertion, verify_assertion
from sca_service.authenticators.passkey.registration import Passkey, verify_registration
from sca_service.kernel.errors import InvalidInput


@dataclasses.dataclass(frozen=True, slots=True)
class Vector:
    """A registration and an authentication with one passkey: bytes in hexadecimal, the browser's words as text."""

    private_key: str
    credential_id: str
    registration_challenge: str
    registration_client: str
    attestation: str
    challenge: str
    client: str
    authenticator: str
    signature: str


NONE_ES256 = Vector(
    private_key="6e68e7a58484a3264f66b77f5d6dc5bc36a47085b615c9727ab334e8c369c2ee",
    credential_id="f91f391db4c9b2fde0ea70189cba3fb63f579ba6122b33ad94ff3ec330084be4",
    registration_challenge="00c30fb78531c464d2b6771dab8d7b603c01162f2fa486bea70f283ae556e130",
    registration_client=(
        '{"type":"webauthn.create","challenge":"AMMPt4UxxGTStncdq417YDwBFi8vpIa-pw8oOuVW4TA","origin":"https://exampl'
        'e.org","crossOrigin":false,"extraData":"clientDataJSON may be extended with additional fields in the future,'
        ' such as this: BkQeDjdcTBrXBiAwJTLE5Q"}'
    ),
    attestation=(
        "a363666d74646e6f6e656761747453746d74a068617574684461746158a4bfabc37432958b063360d3ad6461c9c4735ae7f8edd46592"
        "a5e0f01452b2e4b559000000008446ccb9ab1db374750b2367ff6f3a1f0020f91f391db4c9b2fde0ea70189cba3fb63f579ba6122b33"
        "ad94ff3ec330084be4a5010203262001215820afefa16f97ca9b2d23eb86ccb64098d20db90856062eb249c33a9b672f26df61225820"
        "930a56b87a2fca66334b03458abf879717c12cc68ed73290af2e2664796b9220"
    ),
    challenge="39c0e7521417ba54d43e8dc95174f423dee9bf3cd804ff6d65c857c9abf4d408",
    client=(
        '{"type":"webauthn.get","challenge":"OcDnUhQXulTUPo3JUXT0I97pvzzYBP9tZchXyav01Ag","origin":"https://example.o'
        'rg","crossOrigin":false}'
    ),
    authenticator=("bfabc37432958b063360d3ad6461c9c4735ae7f8edd46592a5e0f01452b2e4b51900000000"),
    signature=(
        "3046022100f50a4e2e4409249c4a853ba361282f09841df4dd4547a13a87780218deffcd380221008480ac0f0b93538174f575bf11a1"
        "dd5d78c6e486013f937295ea13653e331e87"
    ),
)
"""Section 16.2 (W3C Document License): no attestation, no verified payer."""
SELF_ES256 = Vector(
    private_key="b4bbfa5d68e1693b6ef5a19a0e60ef7ee2cbcac81f7fec7006ac3a21e0c5116a",
    credential_id="455ef34e2043a87db3d4afeb39bbcb6cc32df9347c789a865ecdca129cbef58c",
    registration_challenge="7869c2b772d4b58eba9378cf8f29e26cf935aa77df0da89fa99c0bdc0a76f7e5",
    registration_client=(
        '{"type":"webauthn.create","challenge":"eGnCt3LUtY66k3jPjynibPk1qnffDaifqZwL3Ap29-U","origin":"https://exampl'
        'e.org","crossOrigin":false,"extraData":"clientDataJSON may be extended with additional fields in the future,'
        ' such as this: U9hTXvKE2URkMnb_0xYHVg"}'
    ),
    attestation=(
        "a363666d74667061636b65646761747453746d74a263616c672663736967584630440220067a20754ab925005dbf378097c921200315"
        "81c73228d1fb4f5b881bcd7da98302207fc7b147558c7c0eba3af18bd9d121fa3d3a26d17fe3f220272178f473b6006d686175746844"
        "61746158a4bfabc37432958b063360d3ad6461c9c4735ae7f8edd46592a5e0f01452b2e4b55d00000000df850e09db6afbdfab516977"
        "91506cfc0020455ef34e2043a87db3d4afeb39bbcb6cc32df9347c789a865ecdca129cbef58ca5010203262001215820eb151c8176b2"
        "25cc651559fecf07af450fd85802046656b34c18f6cf193843c5225820927b8aa427a2be1b8834d233a2d34f61f13bfd44119c325d58"
        "96e183fee484f2"
    ),
    challenge="4478a10b1352348dd160c1353b0d469b5db19eb91c27f7dfa6fed39fe26af20b",
    client=(
        '{"type":"webauthn.get","challenge":"RHihCxNSNI3RYME1Ow1Gm12xnrkcJ_ffpv7Tn-Jq8gs","origin":"https://example.o'
        'rg","crossOrigin":false,"extraData":"clientDataJSON may be extended with additional fields in the future, su'
        'ch as this: gTb53rz6EhSWomXGzimC1Q"}'
    ),
    authenticator=("bfabc37432958b063360d3ad6461c9c4735ae7f8edd46592a5e0f01452b2e4b50900000000"),
    signature=(
        "304402203310b9431903c401f1be2bdc8d23a4007682dbbddcf846994947b7f465daf84002204e94dd00047b316061b3b99772b7efd9"
        "5994a83ef584b3b6b825ea3550251b66"
    ),
)
"""Section 16.3: the passkey signs for itself."""
CROSS_ORIGIN = Vector(
    private_key="96c940e769bd9f1237c119f144fa61a4d56af0b3289685ae2bef7fb89620623d",
    credential_id="6e1050c0d2ca2f07c755cb2c66a74c64fa43065c18f938354d9915db2bd5ce57",
    registration_challenge="3be5aacd03537142472340ab5969f240f1d87716e20b6807ac230655fa4b3b49",
    registration_client=(
        '{"type":"webauthn.create","challenge":"O-WqzQNTcUJHI0CrWWnyQPHYdxbiC2gHrCMGVfpLO0k","origin":"https://exampl'
        'e.org","crossOrigin":true,"extraData":"clientDataJSON may be extended with additional fields in the future, '
        'such as this: zZquEtDR9DWqpW5tBWTFug"}'
    ),
    attestation=(
        "a363666d74646e6f6e656761747453746d74a068617574684461746158a4bfabc37432958b063360d3ad6461c9c4735ae7f8edd46592"
        "a5e0f01452b2e4b54500000000883f4f6014f19c09d87aa38123be48d000206e1050c0d2ca2f07c755cb2c66a74c64fa43065c18f938"
        "354d9915db2bd5ce57a501020326200121582022200a473f90b11078851550d03b4e44a2279f8c4eca27b3153dedfe03e4e97d225820"
        "cbd0be95e746ad6f5a8191be11756e4c0420e72f65b466d39bc56b8b123a9c6e"
    ),
    challenge="876aa517ba83fdee65fcffdbca4c84eeae5d54f8041a1fc85c991e5bbb273137",
    client=(
        '{"type":"webauthn.get","challenge":"h2qlF7qD_e5l_P_bykyE7q5dVPgEGh_IXJkeW7snMTc","origin":"https://example.o'
        'rg","crossOrigin":true,"extraData":"clientDataJSON may be extended with additional fields in the future, suc'
        'h as this: 92pcTVD0Aby-q4dtmj6efg"}'
    ),
    authenticator=("bfabc37432958b063360d3ad6461c9c4735ae7f8edd46592a5e0f01452b2e4b50500000000"),
    signature=(
        "3046022100eb12fcf23b12764c0f122e22371fab92e283879fd798f38ee1841c951b6e40e7022100c76237ff9db77b3c56f30837cda6"
        "a09acfa2e915544e609c0733b1184036d1cf"
    ),
)
"""Section 16.4: in a frame, of which the browser tells no more."""
TOP_ORIGIN = Vector(
    private_key="a2d6de40ab974b80d8c1ef78c6d4300097754f7e016afe7f8ea0ad9798b0d420",
    credential_id="b8ad59b996047ab18e2ceb57206c362da57458793481f4a8ebf101c7ca7cc0f1",
    registration_challenge="4e1f4c6198699e33c14f192153f49d7e0e8e3577d5ac416c5f3adc92a41f27e5",
    registration_client=(
        '{"type":"webauthn.create","challenge":"Th9MYZhpnjPBTxkhU_Sdfg6ONXfVrEFsXzrckqQfJ-U","origin":"https://exampl'
        'e.org","crossOrigin":true,"topOrigin":"https://example.com"}'
    ),
    attestation=(
        "a363666d74646e6f6e656761747453746d74a068617574684461746158a4bfabc37432958b063360d3ad6461c9c4735ae7f8edd46592"
        "a5e0f01452b2e4b5410000000097586fd09799a76401c200455099ef2a0020b8ad59b996047ab18e2ceb57206c362da57458793481f4"
        "a8ebf101c7ca7cc0f1a5010203262001215820a1c47c1d82da4ebe82cd72207102b380670701993bc35398ae2e5726427fe01d225820"
        "86c1080d82987028c7f54ecb1b01185de243b359294a0ed210cd47480f0adc88"
    ),
    challenge="d54a5c8ca4b62a8e3bb321e3b2bc73856f85a10150db2939ac195739eb1ea066",
    client=(
        '{"type":"webauthn.get","challenge":"1UpcjKS2Ko47syHjsrxzhW-FoQFQ2yk5rBlXOeseoGY","origin":"https://example.o'
        'rg","crossOrigin":true,"topOrigin":"https://example.com","extraData":"clientDataJSON may be extended with ad'
        'ditional fields in the future, such as this: UiFoJMVRQHDAFWFi4vxUpQ"}'
    ),
    authenticator=("bfabc37432958b063360d3ad6461c9c4735ae7f8edd46592a5e0f01452b2e4b50500000000"),
    signature=(
        "3045022100b5a70c81780d5fcc9a4f2ae9caae99058f8accaf58b91fb59329646c28ac6ffc022012e101c165db3c8e9957f0c54dd6ca"
        "9b56bc3bd2f280bd2faa6c1d02c6e5c171"
    ),
)
"""Section 16.5: in a frame below https://example.com."""
LONG_ID = Vector(
    private_key="6fd2149bb5f1597fe549b138794bde61893b2dc32ca316de65f04808dac211dc",
    credential_id=(
        "3a761a4e1674ad6c4305869435c0eee9c286172c229bb91b48b4ada140c0863417031305cce5b4a27a88d7fe728a5f5a627de771b4b4"
        "0e77f187980c124f9fe832d7136010436a056cce716680587d23187cf1fc2c62ae86fc3e508ee9617ffc74fbc10488ec16ec5e909632"
        "8669a898709b655e549738c666c1ae6281dc3b5f733c251d3eefb76ee70a3805ca91bcc18e49c8dc7f63ebcb486ba8c3d6ab52b88ff7"
        "2c6a5bb47c32f3ee8683a3ddc8abf60870448ec8a21b5bdcb183c7dead870255575a6df96eb1b6a2a1019780cba9e4887b17ff1164bb"
        "bcc10eb0d86ed75984cd3fa3419103024507dfd9ce8f92c56af7914cb0bb50b87ba82a312bb7dcd93028dbdcd6adb266979667158335"
        "171e3682d37755701edbf9d872846a291d49e57ef09da1ec637f5052ed2aa7407f7e61827468e94b461844f4c67be5fa9c6055a566f8"
        "fdfc29d4bf78a9ff275f552cc68ba543fa3962eea36fd1ea8453764577d021d0a181efc1f6100ab2e4110039e21ee16970bda7432b61"
        "34492155afc126295b3a2eccd12c66a68e340969e995e3e8c9c476e395cfc21203414110779474f1c9797406637dbe414f132519d3bf"
        "0ce4f01734ef0e1a12c3ad604ff15d766b1624db6a5a7ccbff7bc35c9908df94aba277e0af48f04ff3d16381c47e5a37ed3988a67a3b"
        "1ecaa926336b33391fff04128f869991c9fabd905b6fe3ceef5f8b630ec1c5d2636d5b1961ad5ca5004170f6f5e482792aad989b0287"
        "fe91e5c479403397152f1fa56aa79b156eb47e6c8ea3eb175c34cfb38ad8e772874639b1023d4d01395c94e55831671cc022aa6fa1e0"
        "2a02c2e4abc776f6960e51f83b71a8c0f207b6a347573977812c9aa5480b0011aa739bd4b76c18c000cc4757cceccb920f007c40c00e"
        "37e5ab21476cd9f6054a8fffb55a108f5c706e2cea2049d81fd321ff47d2a5761b0800955ab1d4f4889f55a84e2601c684f17a4ade74"
        "53ea49591d0b59c8d9a765052f62219cf6ef4a5dd9539f0617d6ebbebce7c000455475d18449e25c49ef9a1e3efe18c09082ebe2058d"
        "7c347defaa92f0664553b805c7d76bbfce5f330aca220ac90a789380fc479ea0d8793205813cca590a912f699ad52f991a1bc0a503c3"
        "ec4b2a696719e3c26591a87127f7305cc7e72f4c8e39355ebb06a5b1042990f38710ee7aa612ee4374bb82e878585a70a96c2a6b47f1"
        "01a4ff154be4fd76a3167577a5cc54d9167c154c69ac35485e44cc898b719e1be3cc9c0fb5624b8f8a0dae10947a41bf848b6c1bb33d"
        "1006ec077d7e286e3f2a7b4843716390119449fe2721e81a5ed2333d331c7120765da58fadae73c19d9a8c4509cf8ac1e9d98b799a52"
        "74509069739b5823f3fb496663820033426988eefca53e580e0f9e0dfe0992fc2e53a97e053639f98577058f995bdbd41cefdb"
    ),
    registration_challenge="1113c7265ccf5e65124282fa1d7819a7a14cb8539aa4cdbec7487e5f35d8ec6c",
    registration_client=(
        '{"type":"webauthn.create","challenge":"ERPHJlzPXmUSQoL6HXgZp6FMuFOapM2-x0h-XzXY7Gw","origin":"https://exampl'
        'e.org","crossOrigin":false}'
    ),
    attestation=(
        "a363666d74646e6f6e656761747453746d74a0686175746844617461590483bfabc37432958b063360d3ad6461c9c4735ae7f8edd465"
        "92a5e0f01452b2e4b549000000008f3360c2cd1b0ac14ffe0795c5d2638e03ff3a761a4e1674ad6c4305869435c0eee9c286172c229b"
        "b91b48b4ada140c0863417031305cce5b4a27a88d7fe728a5f5a627de771b4b40e77f187980c124f9fe832d7136010436a056cce7166"
        "80587d23187cf1fc2c62ae86fc3e508ee9617ffc74fbc10488ec16ec5e9096328669a898709b655e549738c666c1ae6281dc3b5f733c"
        "251d3eefb76ee70a3805ca91bcc18e49c8dc7f63ebcb486ba8c3d6ab52b88ff72c6a5bb47c32f3ee8683a3ddc8abf60870448ec8a21b"
        "5bdcb183c7dead870255575a6df96eb1b6a2a1019780cba9e4887b17ff1164bbbcc10eb0d86ed75984cd3fa3419103024507dfd9ce8f"
        "92c56af7914cb0bb50b87ba82a312bb7dcd93028dbdcd6adb266979667158335171e3682d37755701edbf9d872846a291d49e57ef09d"
        "a1ec637f5052ed2aa7407f7e61827468e94b461844f4c67be5fa9c6055a566f8fdfc29d4bf78a9ff275f552cc68ba543fa3962eea36f"
        "d1ea8453764577d021d0a181efc1f6100ab2e4110039e21ee16970bda7432b6134492155afc126295b3a2eccd12c66a68e340969e995"
        "e3e8c9c476e395cfc21203414110779474f1c9797406637dbe414f132519d3bf0ce4f01734ef0e1a12c3ad604ff15d766b1624db6a5a"
        "7ccbff7bc35c9908df94aba277e0af48f04ff3d16381c47e5a37ed3988a67a3b1ecaa926336b33391fff04128f869991c9fabd905b6f"
        "e3ceef5f8b630ec1c5d2636d5b1961ad5ca5004170f6f5e482792aad989b0287fe91e5c479403397152f1fa56aa79b156eb47e6c8ea3"
        "eb175c34cfb38ad8e772874639b1023d4d01395c94e55831671cc022aa6fa1e02a02c2e4abc776f6960e51f83b71a8c0f207b6a34757"
        "3977812c9aa5480b0011aa739bd4b76c18c000cc4757cceccb920f007c40c00e37e5ab21476cd9f6054a8fffb55a108f5c706e2cea20"
        "49d81fd321ff47d2a5761b0800955ab1d4f4889f55a84e2601c684f17a4ade7453ea49591d0b59c8d9a765052f62219cf6ef4a5dd953"
        "9f0617d6ebbebce7c000455475d18449e25c49ef9a1e3efe18c09082ebe2058d7c347defaa92f0664553b805c7d76bbfce5f330aca22"
        "0ac90a789380fc479ea0d8793205813cca590a912f699ad52f991a1bc0a503c3ec4b2a696719e3c26591a87127f7305cc7e72f4c8e39"
        "355ebb06a5b1042990f38710ee7aa612ee4374bb82e878585a70a96c2a6b47f101a4ff154be4fd76a3167577a5cc54d9167c154c69ac"
        "35485e44cc898b719e1be3cc9c0fb5624b8f8a0dae10947a41bf848b6c1bb33d1006ec077d7e286e3f2a7b4843716390119449fe2721"
        "e81a5ed2333d331c7120765da58fadae73c19d9a8c4509cf8ac1e9d98b799a5274509069739b5823f3fb496663820033426988eefca5"
        "3e580e0f9e0dfe0992fc2e53a97e053639f98577058f995bdbd41cefdba50102032620012158203b8176b7504489cc593046d7988abb"
        "7905a742de6ac2cdc748a873c663e90cb12258201436d5edc9a75f23999eef9d5950a5c2455514ee1014084720f841a06b828a11"
    ),
    challenge="ef1deba56dce48f674a447ccf63b9599258ce87648e5c396f2ef0ca1da460e3b",
    client=(
        '{"type":"webauthn.get","challenge":"7x3rpW3OSPZ0pEfM9juVmSWM6HZI5cOW8u8ModpGDjs","origin":"https://example.o'
        'rg","crossOrigin":false}'
    ),
    authenticator=("bfabc37432958b063360d3ad6461c9c4735ae7f8edd46592a5e0f01452b2e4b50d00000000"),
    signature=(
        "304502203ecef83fb12a0cae7841055f9f87103a99fd14b424194bbf06c4623d3ee6e3fd022100d2ace346db262b1374a6b70faa51f5"
        "18a42ddca13a4125ce6f5052a75bac9fb6"
    ),
)
"""Section 16.6: a credential id of 1,023 bytes."""
EDDSA = Vector(
    private_key="971f38c0f73aaf0c5a614eb5e26430ae1ea0ed13e4f425d96e9662349340b0b3",
    credential_id="ce9f840ed96599580cd140fbc7bb3230633f50f61041aff73308ae71caa8a2bd",
    registration_challenge="a8abf9dabdc6b0df63466b39bda9e8a34a34e185337a59f1c579990676d3b3bd",
    registration_client=(
        '{"type":"webauthn.create","challenge":"qKv52r3GsN9jRms5vanoo0o04YUzelnxxXmZBnbTs70","origin":"https://exampl'
        'e.org","crossOrigin":false,"extraData":"clientDataJSON may be extended with additional fields in the future,'
        ' such as this: B_DT5g7ZD_-9OTLYX5IvEQ"}'
    ),
    attestation=(
        "a363666d74667061636b65646761747453746d74a363616c67266373696758483046022100d83f60bd80269537583218858aefb03ac5"
        "7d45fa06e42feaae332d187f62da9f022100a02bd3cb6f7e1d283c93bad1f3f4b5a4c0494463da7fdbf256949116754d1f1763783563"
        "8159022730820223308201c8a003020102021100b2cfc9ea33c8643b0e1a760463eaf164300a06082a8648ce3d0403023062311e301c"
        "06035504030c15576562417574686e207465737420766563746f7273310c300a060355040a0c0357334331253023060355040b0c1c41"
        "757468656e74696361746f72204174746573746174696f6e204341310b30090603550406130241413020170d32343031303130303030"
        "30305a180f33303234303130313030303030305a305f311e301c06035504030c15576562417574686e207465737420766563746f7273"
        "310c300a060355040a0c0357334331223020060355040b0c1941757468656e74696361746f72204174746573746174696f6e310b3009"
        "0603550406130241413059301306072a8648ce3d020106082a8648ce3d03010703420004dd2b7a564b73b8c0b81c4c62e521925c4d11"
        "98ec9f583dbf1eebe364b65cd9c29a9bdf346aaa81fb6b9507e5249a52fdaf8e39e26b0b7dc45992a7e233b70f70a360305e300c0603"
        "551d130101ff04023000300e0603551d0f0101ff040403020780301d0603551d0e041604140ae27546bc7eccb1b4b597bd354f0c0b1f"
        "1f8f8e301f0603551d2304183016801445aff715b0dd786741fee996ebc16547a3931b1e300a06082a8648ce3d040302034900304602"
        "2100a0d434ecb5fc3bfd7da5f41904517ad2836249f561bd834ba7a438a8ab7a4ce8022100fac845bb7a02513b58e9f319654dbe49b0"
        "f02b95835bac568c71f8a18cdde9ab6861757468446174615881bfabc37432958b063360d3ad6461c9c4735ae7f8edd46592a5e0f014"
        "52b2e4b54100000000d5aa33581e8ca478e20fe713f5d32ff20020ce9f840ed96599580cd140fbc7bb3230633f50f61041aff73308ae"
        "71caa8a2bda401010327200621582044e06ddd331c36a8dc667bab52bcae63486c916aa5e339e6acebaa84934bf832"
    ),
    challenge="895957e01c633a698348a2d8a31a54b7db27e8c1c43b2080d79ae2190267bfd2",
    client=(
        '{"type":"webauthn.get","challenge":"iVlX4BxjOmmDSKLYoxpUt9sn6MHEOyCA15riGQJnv9I","origin":"https://example.o'
        'rg","crossOrigin":false}'
    ),
    authenticator=("bfabc37432958b063360d3ad6461c9c4735ae7f8edd46592a5e0f01452b2e4b50100000000"),
    signature=(
        "f5c59c7e46c34f6f8cc197101ddf9934fa2595f68eb1913a637e8419eb9ba4cfdfc48f85393bc0d40b011f0d6fecb097d66075257132"
        "23a0dc0d453993dae00b"
    ),
)
"""Section 16.11: Ed25519, with a certificate that we never ask for."""

AT_THE_PAYER = 0x04
"""The flag UV (section 6.1)."""


def base64url(value: bytes) -> str:
    """Without padding."""
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def response(vector: Vector, **parts: bytes) -> bytes:
    """The JSON that a browser makes of it."""
    identifier = base64url(bytes.fromhex(vector.credential_id))
    shown = {name: base64url(part) for name, part in parts.items()}
    return json.dumps(
        {"id": identifier, "rawId": identifier, "type": "public-key", "response": shown}
    ).encode()


def registered(vector: Vector, attestation: bytes | None = None) -> Passkey:
    """The vector's registration, or another attestation in its place."""
    return verify_registration(
        response(
            vector,
            clientDataJSON=vector.registration_client.encode(),
            attestationObject=attestation or bytes.fromhex(vector.attestation),
        ),
        challenge=bytes.fromhex(vector.registration_challenge),
        rp_id="example.org",
        origins=["https://example.org"],
    )


def made_here(vector: Vector) -> bytes:
    """The vector's attestation with the payer verified, and without a statement, as a browser passes it on."""
    attested = bytearray(cbor2.loads(bytes.fromhex(vector.attestation))["authData"])
    attested[32] |= AT_THE_PAYER
    return cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": bytes(attested)})


def passkey_of(vector: Vector) -> Passkey:
    """The passkey that the vector registers, without what its browser said: that is not kept."""
    client = json.loads(vector.registration_client) | {"crossOrigin": False}
    client.pop("topOrigin", None)
    return registered(dataclasses.replace(vector, registration_client=json.dumps(client)), made_here(vector))


def verified(
    vector: Vector, *, authenticator: bytes = b"", signature: bytes = b"", top_origins: tuple[str, ...] = ()
) -> Assertion:
    """The vector's authentication, or another in its place."""
    return verify_assertion(
        response(
            vector,
            clientDataJSON=vector.client.encode(),
            authenticatorData=authenticator or bytes.fromhex(vector.authenticator),
            signature=signature or bytes.fromhex(vector.signature),
        ),
        passkey=passkey_of(vector),
        challenge=bytes.fromhex(vector.challenge),
        rp_id="example.org",
        origins=["https://example.org"],
        top_origins=top_origins,
    )


def signed(vector: Vector, authenticator: bytes) -> bytes:
    """What the printed private key signs."""
    message = authenticator + hashlib.sha256(vector.client.encode()).digest()
    key = bytes.fromhex(vector.private_key)
    if vector is EDDSA:
        return ed25519.Ed25519PrivateKey.from_private_bytes(key).sign(message)
    private = ec.derive_private_key(int.from_bytes(key, "big"), ec.SECP256R1())
    return private.sign(message, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))


@pytest.mark.parametrize("vector", [NONE_ES256, SELF_ES256, CROSS_ORIGIN, TOP_ORIGIN, LONG_ID, EDDSA])
def test_the_printed_signatures_are_those_of_the_printed_keys(vector: Vector) -> None:
    """Byte for byte: both kinds of signature are deterministic there."""
    authenticator = bytes.fromhex(vector.authenticator)
    assert signed(vector, authenticator) == bytes.fromhex(vector.signature)


@pytest.mark.parametrize("vector", [NONE_ES256, LONG_ID])
def test_a_printed_registration_without_a_verified_payer_is_refused(vector: Vector) -> None:
    """As printed, and accepted with that bit."""
    with pytest.raises(InvalidInput):
        registered(vector)
    assert registered(vector, made_here(vector)).credential_id.hex() == vector.credential_id


def test_the_printed_registration_that_signs_for_itself() -> None:
    """As printed; and refused with one bit of it changed."""
    passkey = registered(SELF_ES256)
    assert passkey.credential_id.hex() == SELF_ES256.credential_id
    assert passkey.aaguid == "df850e09-db6a-fbdf-ab51-697791506cfc"
    assert (passkey.backup_eligible, passkey.backed_up) == (True, True)
    spoiled = bytearray.fromhex(SELF_ES256.attestation)
    spoiled[-1] ^= 1
    with pytest.raises(InvalidInput):
        registered(SELF_ES256, bytes(spoiled))


def test_the_printed_ed25519_registration() -> None:
    """Its certificate was not asked for, as printed; without it, the key is kept as printed."""
    with pytest.raises(InvalidInput):
        registered(EDDSA)
    passkey = registered(EDDSA, made_here(EDDSA))
    private = ed25519.Ed25519PrivateKey.from_private_bytes(bytes.fromhex(EDDSA.private_key))
    assert passkey.public_key.hex() == (
        "a401010327200621582044e06ddd331c36a8dc667bab52bcae63486c916aa5e339e6acebaa84934bf832"
    )
    assert cbor2.loads(passkey.public_key)[-2] == private.public_key().public_bytes_raw()
    assert passkey.aaguid == "d5aa3358-1e8c-a478-e20f-e713f5d32ff2"


@pytest.mark.parametrize("vector", [CROSS_ORIGIN, TOP_ORIGIN])
def test_a_printed_registration_in_a_frame_is_refused(vector: Vector) -> None:
    """With the payer verified too."""
    with pytest.raises(InvalidInput):
        registered(vector, made_here(vector))


def test_the_printed_authentication_with_a_long_credential_id() -> None:
    """As printed."""
    assert verified(LONG_ID) == Assertion(sign_count=0, payer_verified=True, backed_up=False)


def test_the_printed_authentication_in_a_frame() -> None:
    """As printed, below the page that is named and below no other."""
    assert verified(TOP_ORIGIN, top_origins=("https://example.com",)).payer_verified
    with pytest.raises(BadAssertion):
        verified(TOP_ORIGIN)
    with pytest.raises(BadAssertion):
        verified(TOP_ORIGIN, top_origins=("https://example.org",))
    with pytest.raises(BadAssertion):  # this browser does not tell which page
        verified(CROSS_ORIGIN, top_origins=("https://example.com", "https://example.org"))


@pytest.mark.parametrize("vector", [NONE_ES256, SELF_ES256, EDDSA])
def test_a_printed_authentication_without_a_verified_payer_is_refused(vector: Vector) -> None:
    """As printed; accepted with that bit, signed by the printed key, and with no other signature."""
    with pytest.raises(BadAssertion):
        verified(vector)
    authenticator = bytearray.fromhex(vector.authenticator)
    authenticator[32] |= AT_THE_PAYER
    changed = bytes(authenticator)
    assert verified(vector, authenticator=changed, signature=signed(vector, changed)).payer_verified
    with pytest.raises(BadAssertion):
        verified(vector, authenticator=changed)
