// Types of core: what the service answers (docs/openapi.json), what the vault keeps, what views are told.
// Read by `tsc` and by editors alone; never served.

export type Bytes = Uint8Array<ArrayBuffer>;

export interface NewKeys {
  signing: CryptoKey;
  signingPoint: Bytes;
  agreement: CryptoKey;
  agreementPoint: Bytes;
}

/** What signs and makes codes for a registered device. */
export interface DeviceKeys {
  deviceId: string;
  signing: CryptoKey;
  signingPoint: Bytes;
  agreementPoint: Bytes;
  serverPoint: Bytes;
  base: CryptoKey;
}

export interface SiteKey {
  key: CryptoKey;
  point: Bytes;
  kid: string;
}

export type State = 'none' | 'registering' | 'held' | 'active' | 'removed' | 'lost';

export type Act =
  | 'register'
  | 'session'
  | 'watch'
  | 'listDevices'
  | 'revokeSelf'
  | 'sites'
  | 'codes'
  | 'answer'
  | 'account'
  | 'showForeign';

/** Store `device`, key `current`. Times are milliseconds since 1970. */
export interface DeviceRecord extends DeviceKeys {
  name: string;
  state: 'held' | 'active' | 'removed';
  limitedUntil: number;
}

/** Store `device`, key `registering`; the keys are there once `registerDevice` was called. */
export interface Registration extends Partial<NewKeys> {
  verificationId: string;
  phoneNumber: string;
  expireTime: string;
  retryTime: number;
}

/** Store `settings`, key `registered`: holds no key, so that it can be read where those cannot. */
export interface Marker {
  deviceId: string;
  name: string;
  seenTime: number;
}

/** Store `sites`. `site` is what ListSites last said; `goneTime` is 0 where it said so. */
export interface SiteRecord extends Partial<SiteKey> {
  siteId: string;
  site: Site;
  pinned: boolean;
  usedTime: number;
  goneTime: number;
}

export interface NewKeyRecord extends SiteKey {
  name: string;
}

export interface Site {
  siteId: string;
  name: string;
  logoId: string;
  codeDigits: number;
  codePeriodSeconds: number;
  createTime?: string;
  lastUseTime?: string;
  hasKey: boolean;
  label: string;
  awaitingCode: boolean;
  origin: string;
}

export interface KeptSite extends Site {
  pinned: boolean;
  usedTime: number;
}

export interface Account {
  phoneNumber: string;
  newDevicePolicy: string;
  createTime?: string;
  pendingPhoneNumber: string;
  pendingPhoneTime?: string;
  phoneCodes?: boolean;
}

export interface Device {
  deviceId: string;
  name: string;
  platform: string;
  state: 'DEVICE_STATE_ACTIVE' | 'DEVICE_STATE_HELD' | 'DEVICE_STATE_REVOKED';
  createTime?: string;
  lastSeenTime?: string;
  releaseTime?: string;
  current: boolean;
  check: string;
  limitedUntil?: string;
}

export interface Verification {
  verificationId: string;
  expireTime: string;
  retryDelay: number;
}

export interface Registered {
  device: Device;
  otherDevices: number;
  accountCreateTime?: string;
  recoveryCode: string;
}

/** What OpenEnrollment answers; the last two where the service is new enough. */
export interface Offer {
  siteName: string;
  logoId: string;
  origin: string;
  expireTime?: string;
  createTime?: string;
  requiresCode?: boolean;
}

export interface Activity {
  type: string;
  siteName: string;
  deviceName: string;
  time?: string;
}

export interface PendingApproval {
  approvalId: string;
  siteId: string;
  question: string;
}

export interface InboxMessage {
  approvals: PendingApproval[];
  sitesRevision: string;
  devicesRevision: string;
  activityRevision: string;
  serverTime?: string;
}

export type Decision = 'approve' | 'deny' | 'report_fraud';

/** `created` and `expires` are seconds since 1970; `bytes` are what is signed. */
export interface Question {
  approvalId: string;
  authyId: string;
  siteId: string;
  site: string;
  origin: string;
  message: string;
  details: [string, string][];
  matchDigits: number;
  userVerification: boolean;
  created: number;
  expires: number;
  nonce: string;
  bytes: Bytes;
}

export interface Code {
  code: string;
  next: string;
  secondsLeft: number;
  period: number;
}

export interface InboxState {
  connection: 'off' | 'connecting' | 'open' | 'waiting';
  retryTime: number;
  questions: Question[];
  refused: string[];
  revisions: { sites: string; devices: string; activity: string };
  leader: boolean;
}

export type Hash = 'SHA-1' | 'SHA-256' | 'SHA-512';

/** An account of another service, as scanned: with its secret. */
export interface Draft {
  type: 'totp' | 'hotp';
  issuer: string;
  account: string;
  secret: Bytes;
  hash: Hash;
  digits: number;
  period: number;
  counter: number;
}

/** Store `accounts`. `sealed` is null where no backup password was set. */
export interface AccountRecord {
  id: string;
  type: 'totp' | 'hotp';
  issuer: string;
  account: string;
  label: string;
  hash: Hash;
  digits: number;
  period: number;
  counter: number;
  pinned: boolean;
  addedTime: number;
  removedTime: number;
  key: CryptoKey;
  sealed: Sealed | null;
}

export interface Foreign extends Omit<AccountRecord, 'key' | 'sealed'> {
  sealed: boolean;
}

/** A secret sealed to the backup's public key. */
export interface Sealed {
  point: Bytes;
  iv: Bytes;
  data: Bytes;
}

/** Store `settings`, key `backup`: the private key is wrapped by a key made from the password. */
export interface BackupKey {
  point: Bytes;
  rounds: number;
  salt: Bytes;
  iv: Bytes;
  wrapped: Bytes;
}

export type Scanned =
  | { kind: 'enrollment'; token: string }
  | { kind: 'elsewhere'; host: string }
  | { kind: 'account'; draft: Draft }
  | ({ kind: 'migration' } & Migration)
  | { kind: 'refused'; reason: string }
  | { kind: 'unknown' };

export interface Migration {
  drafts: Draft[];
  refused: { issuer: string; account: string; reason: string }[];
  index: number;
  size: number;
  batch: number;
}
