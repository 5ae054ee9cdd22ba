/** What the workers of all pods of a node share. */
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { Pod } from '../api/pods.ts';
import type { Client } from '../kube/client/client.ts';
import type { EventRecorder } from '../kube/controller/recorder.ts';
import type { StartQueue } from './admission.ts';
import type { Driver } from './drivers/driver.ts';
import type { NodeFacts } from './environment.ts';
import type { ImageProvider } from './images.ts';
import type { LogStore } from './logs/log-store.ts';
import type { MemoryDir } from './memory-dir.ts';
import type { ClusterDns } from './pod-dns.ts';
import type { DataReader, TokenSource } from './volume-files.ts';
import type { ClaimSource } from './volumes.ts';

export interface WorkerEnv {
  readonly client: Client;
  readonly clock: Clock;
  readonly log: Logger;
  readonly driver: Driver;
  readonly images: ImageProvider;
  readonly recorder: EventRecorder;
  /** For what concerns the choice of the node. */
  readonly scheduler: EventRecorder;
  readonly logs: LogStore;
  readonly starts: StartQueue;
  readonly readData: DataReader;
  readonly token: TokenSource | undefined;
  /** Text of a kubeconfig beside a pod's token, on a driver whose pods see the machine's files. */
  readonly kubeconfig: ((dir: string) => Promise<string>) | undefined;
  readonly claims: ClaimSource;
  /** Called before a deleted pod's containers are told to stop; the grace period bounds it. */
  readonly beforeStop: ((pod: Pod) => Promise<void>) | undefined;
  /** Called with each new status of a pod before it is written; metadata carries the port map, if there is one. */
  readonly announce: ((pod: Pod) => void) | undefined;
  /** Directory with one directory per pod uid. */
  readonly podsDir: string;
  /** Where volumes are that must not reach a disk. */
  readonly memory: MemoryDir;
  readonly hostIP: string;
  readonly nodeName: string;
  facts(podIP: string): NodeFacts;
  /** `KUBERNETES_SERVICE_HOST` and its kin for the containers of a pod. */
  serviceEnv(pod: Pod): ReadonlyMap<string, string> | Promise<ReadonlyMap<string, string>>;
  /** Undefined where pods look up names as this machine does. */
  readonly clusterDns: ClusterDns | undefined;
  /** Why nothing here runs pods of the pod's RuntimeClass; undefined when something does. */
  whyNoHandler(pod: Pod): string | undefined;
  /** A pod no longer uses what it asked for: one that waits may fit now. */
  freed(): void;
}
