/** The shipped template `node`: an image of a Node.js project, without Dockerfile, daemon or privileges. */
import { apiVersionOf } from '../../api/resource.ts';
import { clusterBuildTemplates, type BuildTemplate } from '../../api/build/template.ts';
import { baseImageName } from '../../image/build/base.ts';
import { buildToolsName, stepProgram, toolsDirectory } from '../../image/build/tools.ts';
import { workspaceDirectory } from '../resources/pod.ts';

export const nodeTemplate: BuildTemplate = {
  apiVersion: apiVersionOf(clusterBuildTemplates),
  kind: clusterBuildTemplates.kind,
  metadata: { name: 'node' },
  spec: {
    parameters: [
      { name: 'IMAGE', description: 'Name of the image to push.' },
      { name: 'DIRECTORY', description: 'Directory of the project.', default: workspaceDirectory },
      { name: 'BASE', description: 'Image to build upon.', default: baseImageName },
    ],
    steps: [
      {
        name: 'build-and-push',
        image: buildToolsName,
        command: ['node', stepProgram('build-node')],
        args: ['--image=${IMAGE}', '--directory=${DIRECTORY}', '--base=${BASE}'],
        workingDir: toolsDirectory,
      },
    ],
  },
};
