/** What the node agent needs of images: a name goes in, an unpacked root directory and the image's defaults come out. */

export type PullPolicy = 'Always' | 'IfNotPresent' | 'Never';

/** The members of an OCI image configuration's `config` that decide how a container runs (OCI image-spec, config.md). */
export interface ImageConfig {
  readonly Env?: readonly string[];
  readonly Entrypoint?: readonly string[];
  readonly Cmd?: readonly string[];
  readonly WorkingDir?: string;
  readonly User?: string;
  readonly StopSignal?: string;
}

export interface UnpackedImage {
  /** The reference as it was asked for. */
  readonly reference: string;
  /** `sha256:…` of the manifest. */
  readonly digest: string;
  /** Merged root directory, shared by every container of the image: never written to. */
  readonly rootfs: string;
  readonly config: ImageConfig;
}

/** A name and password for a registry. */
export interface RegistryCredentials {
  readonly username: string;
  readonly password: string;
}

export interface EnsureOptions {
  readonly policy: PullPolicy;
  readonly credentials?: RegistryCredentials;
}

export interface ImageProvider {
  /** Throws KnapsackError with an `IMAGE_*` code. */
  ensure(reference: string, policy: PullPolicy | EnsureOptions): Promise<UnpackedImage>;
}
