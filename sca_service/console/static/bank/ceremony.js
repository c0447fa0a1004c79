// Passkeys and Secure Payment Confirmation: the browser's own windows, asked for with what the service sent.

import { fromBase64url } from "./encoding.js";

export function hasPasskeys() {
  return typeof PublicKeyCredential === "function" && "parseCreationOptionsFromJSON" in PublicKeyCredential;
}

// Whether this browser shows payments itself (SPC); few do, and only with an authenticator of their own.
export async function showsPayments() {
  if (typeof PaymentRequest !== "function") return false;
  try {
    if (PaymentRequest.securePaymentConfirmationAvailability) {
      return (await PaymentRequest.securePaymentConfirmationAvailability()) === "available";
    }
    return (await PaymentRequest.isSecurePaymentConfirmationAvailable?.()) ?? false;
  } catch {
    return false;
  }
}

export async function makePasskey(options) {
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options);
  const made = await navigator.credentials.create({ publicKey });
  return made.toJSON();
}

export async function signWithPasskey(options) {
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options);
  const signed = await navigator.credentials.get({ publicKey });
  return signed.toJSON();
}

// The service sends bytes as base64url; the browser wants them as bytes.
export async function confirmPayment({ methods, details }) {
  const [{ supportedMethods, data: shown }] = methods;
  const asked = {
    ...shown,
    challenge: fromBase64url(shown.challenge),
    credentialIds: shown.credentialIds.map(fromBase64url),
  };
  const response = await new PaymentRequest([{ supportedMethods, data: asked }], details).show();
  await response.complete("success");
  return response.details.toJSON();
}
